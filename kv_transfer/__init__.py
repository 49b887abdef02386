"""The hand-off of KV blocks between two workers. It sees memory as byte runs, never as tensors."""
