"""JSON as it goes out: compact, raw UTF-8."""

import json
from json.encoder import encode_basestring

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def to_json(value: object) -> str:
    return _ENCODER.encode(value)


def text_to_json(text: str) -> str:
    """The same for a text, in one call."""
    return encode_basestring(text)
