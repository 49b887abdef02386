"""Keywords of JSON schema, and which of them belong together."""

from collections.abc import Mapping
from typing import Any

from baton.core.errors import RequestError

TYPES = frozenset(["string", "integer", "number", "boolean", "null", "array", "object"])
# They constrain nothing by themselves.
ANNOTATIONS = frozenset(
    [
        *("title", "description", "default", "example", "examples", "deprecated"),
        *("readOnly", "writeOnly", "$comment", "$schema", "$id", "discriminator"),
        *("$defs", "definitions", "type"),
    ]
)
# Each of them says what the whole value is.
WHOLE = ("$ref", "const", "enum", "anyOf", "oneOf", "allOf")
BOUNDS = frozenset(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """None where it names none. Raises RequestError for an unknown one."""
    kinds = schema.get("type", [])
    names = kinds if isinstance(kinds, list) else [kinds]
    for name in names:
        if name not in TYPES:
            raise RequestError(f"the schema has an unknown type {name!r}")
    return names


def is_of(value: Any, types: list[str]) -> bool:
    """Whether a JSON value is of one of these types."""
    if value is None or isinstance(value, bool):
        return ("null" if value is None else "boolean") in types
    kinds: tuple[tuple[type, tuple[str, ...]], ...] = (
        (str, ("string",)),
        (int, ("integer", "number")),
        (float, ("number",)),
        (list, ("array",)),
        (dict, ("object",)),
    )
    names = next((names for kind, names in kinds if isinstance(value, kind)), ())
    return any(name in types for name in names)
