"""A checkpoint's folder -> a model that was tried."""
