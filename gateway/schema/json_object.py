"""An object that goes on as JSON. Python reads NaN and 1e999, but JSON cannot say them again."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    if not _is_finite(value):
        raise ValueError("every number must be finite")
    return value


def _is_finite(value: object) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case dict():
            return all(map(_is_finite, value.values()))
        case list():
            return all(map(_is_finite, value))
    return True


JsonObject = Annotated[dict[str, Any], AfterValidator(_finite)]
