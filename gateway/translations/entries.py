"""Which of an answer's log-probability entries belong to its visible text."""

from collections.abc import Sequence
from typing import Any


def entries_of(
    entries: Sequence[dict[str, Any]], reasoning: str, text: str
) -> list[dict[str, Any]]:
    """Those whose bytes overlap `text`, sought behind `reasoning`. The bytes of all entries are
    the whole output, markup included; where the text is not found in one piece, all are given.
    The answer does not depend on entries behind the text.
    """
    pieces = [_bytes(entry) for entry in entries]
    output = b"".join(pieces)
    sought = text.encode()
    begin = _after(output, reasoning.encode())
    start = output.find(sought, begin)
    if not sought or start < 0:
        return list(entries) if sought else []
    end = start + len(sought)
    inside, at = [], 0
    for entry, piece in zip(entries, pieces, strict=True):
        if at < end and at + len(piece) > start:
            inside.append(entry)
        at += len(piece)
    return inside


def _after(output: bytes, reasoning: bytes) -> int:
    start = output.find(reasoning)
    return 0 if start < 0 else start + len(reasoning)


def _bytes(entry: dict[str, Any]) -> bytes:
    known = entry.get("bytes")
    return str(entry["token"]).encode() if known is None else bytes(known)
