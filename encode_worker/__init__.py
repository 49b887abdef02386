"""A worker in the encode role: turns images into embeddings and hands these over."""
