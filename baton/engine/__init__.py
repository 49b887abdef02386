"""The engine: ids in, ids out. It knows no network and no text."""
