"""A Prometheus of a cluster's own, beside it for as long as it runs."""
