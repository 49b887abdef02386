"""A JSON schema as llguidance is to read it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baton.core.errors import RequestError
from gateway.structured.lark import inline_json, whole

# Without a bound a model may write spaces until its tokens run out.
WHITESPACE = r"[\x20\x0A\x0D\x09]{1,64}"
_VALUES = frozenset({"const", "default", "enum", "examples"})  # they hold no schemas


@dataclass(frozen=True, slots=True)
class JsonOptions:
    disable_any_whitespace: bool = False  # between the tokens of JSON
    disable_additional_properties: bool = False  # where an object lists its own
    whitespace_pattern: str | None = None  # a regular expression, between the tokens of JSON


ANY_OBJECT: dict[str, Any] = {"type": "object"}


def json_grammar(given: object, options: JsonOptions) -> str:
    """Of a schema or of the text of one. Raises RequestError."""
    return whole("start: " + inline_json(prepared(read_schema(given), options)))


def read_schema(given: object) -> dict[str, Any]:
    """Of an object, or of the text of one. Raises RequestError."""
    schema = given
    if isinstance(given, str):
        try:
            schema = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"the schema is not JSON: {error}") from error
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise RequestError("the schema must be a JSON object")
    return schema


def prepared(schema: Mapping[str, Any], options: JsonOptions) -> dict[str, Any]:
    """With the options in it. Raises RequestError."""
    if options.disable_any_whitespace and options.whitespace_pattern is not None:
        raise RequestError("disable_any_whitespace and whitespace_pattern exclude each other")
    own = schema.get("x-guidance", {})
    if not isinstance(own, dict):
        raise RequestError("x-guidance must be an object")
    kept: Any = schema
    if options.disable_additional_properties:
        kept = closed(schema)
    return {**kept, "x-guidance": {"whitespace_pattern": WHITESPACE, **own, **_said(options)}}


def _said(options: JsonOptions) -> dict[str, Any]:
    if options.disable_any_whitespace:
        return {"whitespace_flexible": False, "whitespace_pattern": None}
    if options.whitespace_pattern is not None:
        return {"whitespace_pattern": options.whitespace_pattern}
    return {}


def closed(node: Any) -> Any:
    """Objects that list their properties may have no others, unless they say so."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    copy = {key: value if key in _VALUES else closed(value) for key, value in node.items()}
    if "properties" in copy or "patternProperties" in copy:
        copy.setdefault("additionalProperties", False)
    return copy
