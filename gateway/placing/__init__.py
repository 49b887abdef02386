"""Where a request runs, and why: what workers, links and answers cost, as learned. Pure."""
