"""Logits -> tokens, with all that a request says of them."""
