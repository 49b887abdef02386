"""Answers as JSON: whole objects, and the chunks of a stream."""
