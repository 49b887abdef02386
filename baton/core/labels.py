"""What a worker may be chosen by beside its id: `zone=a,rack=7`."""

import re
from collections.abc import Iterable

Labels = tuple[tuple[str, str], ...]  # ascending by key, each key once

LONGEST = 63  # characters of a key or a value
MOST = 32  # labels of one worker, or of one selector
_WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?")


def read_labels(text: str) -> Labels:
    """Of `key=value,key=value`. Raises ValueError with a sentence."""
    pairs = []
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals:
            raise ValueError(f"{part.strip()!r} is not key=value")
        pairs.append((key, value))
    return checked_labels(pairs)


def checked_labels(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Raises ValueError with a sentence."""
    labels = sorted(pairs)
    for word in (word for pair in labels for word in pair):
        if len(word) > LONGEST or not _WORD.fullmatch(word):
            raise ValueError(
                f"{word[: LONGEST + 1]!r} cannot be part of a label: 1 to {LONGEST} letters, digits "
                "and - . _ / between them"
            )
    if len({key for key, _ in labels}) < len(labels):
        raise ValueError("a label is named twice")
    if len(labels) > MOST:
        raise ValueError(f"at most {MOST} labels")
    return tuple(labels)
