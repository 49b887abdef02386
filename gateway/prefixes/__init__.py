"""Which worker has which beginning of a prompt in its cache, as far as this gateway knows."""
