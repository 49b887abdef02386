"""What clients and other routers are given to come back with: signed, for a time."""
