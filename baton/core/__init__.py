"""What every process must agree on. Standard library only."""
