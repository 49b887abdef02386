"""Faster stand-ins for the modules of a Hugging Face model on a CPU, each checked against its original."""
