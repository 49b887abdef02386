"""Starts and watches the processes of a cluster, and the `baton` command."""
