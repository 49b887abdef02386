"""A worker in the decode role: takes KV blocks over and writes answers."""
