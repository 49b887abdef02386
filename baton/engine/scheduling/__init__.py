"""What the next step computes: works, their sequences, their blocks, and steps under way."""
