"""What tells the kinds of an object apart, for pydantic's unions."""

from collections.abc import Callable
from typing import Any


def tag_by(key: str) -> Callable[[Any], Any]:
    """The value of `key`: of an object as the client wrote it, or of a model made from it."""

    def tag(value: Any) -> Any:
        return value.get(key) if isinstance(value, dict) else getattr(value, key, None)

    return tag
