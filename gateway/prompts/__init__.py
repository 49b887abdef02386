"""Messages and texts into tokens, and tokens back into text."""
