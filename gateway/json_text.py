"""JSON as it goes out: compact, raw UTF-8."""

import json

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def to_json(value: object) -> str:
    return _ENCODER.encode(value)
