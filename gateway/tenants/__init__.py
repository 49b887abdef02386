"""Whose a request is, what it may use, and what it has used."""
