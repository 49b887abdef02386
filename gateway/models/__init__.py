"""The models behind one gateway."""
