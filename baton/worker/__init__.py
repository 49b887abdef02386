"""A worker: engine, sender and receiver in one process. A role is which rpcs it accepts."""
