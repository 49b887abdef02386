"""Drives a live cluster from a trace, and tells what its clients saw."""
