"""Bodies of the HTTP API: which fields exist, which act, and how a wrong one is told."""
