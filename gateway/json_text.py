"""JSON as it goes out: compact, raw UTF-8, and nothing in it that some client takes for the end of a line."""

import json
import re
from json.encoder import encode_basestring

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
# An event's line ends at CR or LF alone, but httpx's `iter_lines`, as all that goes by Python's
# `splitlines`, cuts it here as well. Below U+0020 JSON has escapes for them anyway.
_ENDS = re.compile("[\x85\u2028\u2029]")


def to_json(value: object) -> str:
    return _in_one_line(_ENCODER.encode(value))


def text_to_json(text: str) -> str:
    """The same for a text, in one call."""
    return _in_one_line(encode_basestring(text))


def _in_one_line(encoded: str) -> str:
    return encoded if encoded.isascii() else _ENDS.sub(_escaped, encoded)


def _escaped(end: re.Match[str]) -> str:
    return f"\\u{ord(end[0]):04x}"
