"""Literal tags in a text that comes in pieces."""

from collections.abc import Sequence


class TagSearch:
    """Withholds a suffix that may yet become a tag, and nothing else."""

    def __init__(self, tags: Sequence[str]) -> None:
        self._tags = tuple(tags)
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None, str]:
        """(certain text, the first tag behind it, the rest): the rest is not searched yet. Without
        a tag the rest is empty.
        """
        text = self._held + text
        places = [(at, tag) for tag in self._tags if (at := text.find(tag)) >= 0]
        if places:
            at, tag = min(places)
            self._held = ""
            return text[:at], tag, text[at + len(tag) :]
        certain = len(text) - partial_length(text, self._tags)
        self._held = text[certain:]
        return text[:certain], None, ""

    def end(self) -> str:
        """What was withheld, when no more text comes."""
        held, self._held = self._held, ""
        return held


def partial_length(text: str, tags: Sequence[str]) -> int:
    """Of the longest suffix that begins a tag without being the whole of it."""
    for length in range(min(max(map(len, tags)) - 1, len(text)), 0, -1):
        suffix = text[-length:]
        if any(len(tag) > length and tag.startswith(suffix) for tag in tags):
            return length
    return 0
