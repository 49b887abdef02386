"""Who is alive, in which role, with what."""
