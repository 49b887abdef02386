"""The KV pool: whose each block is, what the cache keeps, what goes to host memory."""
