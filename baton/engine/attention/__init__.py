"""Attention over the paged KV pool: one seam, and the backends behind it."""
