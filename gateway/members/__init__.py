"""The workers of the cluster as this gateway knows them, and what it can ask of them."""
