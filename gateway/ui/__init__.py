"""The status page: what it shows, how it stays live, and its files."""
