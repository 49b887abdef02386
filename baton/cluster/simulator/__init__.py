"""A cluster under a virtual clock: the gateway's own code in front of workers that are modelled."""
