"""The OpenAI face of the cluster: validate, render, tokenise, place, stream. No torch here."""
