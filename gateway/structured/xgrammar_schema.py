"""A JSON schema as xgrammar is to read it. It passes over what it does not know, so only what it is
known to hold an answer to gets there.
"""

from collections.abc import Mapping
from typing import Any

from baton.core.errors import RequestError
from gateway.structured.json_schema import JsonOptions, closed
from gateway.structured.schema_words import ANNOTATIONS, BOUNDS, WHOLE, is_of, types_of

_OF_TYPE = {
    "string": frozenset(["minLength", "maxLength", "pattern", "format"]),
    "integer": BOUNDS | {"multipleOf"},
    "number": BOUNDS,
    "array": frozenset(["items", "prefixItems", "minItems", "maxItems"]),
    "object": frozenset(
        [
            "properties",
            "required",
            "additionalProperties",
            "patternProperties",
            "propertyNames",
            "minProperties",
            "maxProperties",
        ]
    ),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
_FORMATS = frozenset(
    [
        "date",
        "time",
        "date-time",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
        "uri",
        "uri-reference",
        "uri-template",
        "json-pointer",
        "relative-json-pointer",
    ]
)
_LENGTHS = frozenset(("minLength", "maxLength"))
# Of these an object or a string can have those of one group, else some are not heeded.
_APART = (
    (_LENGTHS, {"pattern"}, {"format"}),
    (BOUNDS, {"multipleOf"}),
    (
        {"properties", "required"},
        {"patternProperties"},
        {"propertyNames"},
        {"minProperties", "maxProperties"},
    ),
)


def for_xgrammar(schema: Mapping[str, Any], options: JsonOptions) -> dict[str, Any]:
    """With the options in it, and open where it says nothing. Raises RequestError."""
    given = closed(schema) if options.disable_additional_properties else schema
    try:
        return _object(given)
    except RecursionError as error:
        raise RequestError("the schema is nested too deeply") from error


def _node(schema: Any) -> Any:
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, Mapping):
        raise RequestError("a schema must be a JSON object")
    return _object(schema)


def _object(schema: Mapping[str, Any]) -> dict[str, Any]:
    _check(schema)
    copy = {key: _inner(key, value) for key, value in schema.items()}
    if "object" in types_of(schema):
        copy.setdefault("additionalProperties", True)
    if "prefixItems" in schema:
        copy.setdefault("items", True)
    return copy


def _inner(key: str, value: Any) -> Any:
    if key in ("properties", "patternProperties", "$defs", "definitions"):
        if not isinstance(value, Mapping):
            raise RequestError(f"the schema's {key} must be an object")
        return {name: _node(inner) for name, inner in value.items()}
    if key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if not isinstance(value, list) or not value:
            raise RequestError(f"the schema's {key} must be a list, not empty")
        return [_node(inner) for inner in value]
    if key in ("items", "additionalProperties", "propertyNames"):
        return _node(value)
    return value


def _check(schema: Mapping[str, Any]) -> None:
    said = set(schema) - ANNOTATIONS
    whole = [key for key in WHOLE if key in schema]
    types = types_of(schema)
    if whole:
        if said != {whole[0]}:
            raise _refused(f"{min(said - {whole[0]})} beside {whole[0]}")
        _check_whole(whole[0], schema, types)
        return
    known = frozenset[str]().union(*(_OF_TYPE[name] for name in types))
    unknown = sorted(said - known)
    if unknown:
        typed = " without its type" if not types else ""
        raise _refused(f"{unknown[0]}{typed}")
    for groups in _APART:
        used = [group & said for group in groups if group & said]
        if len(used) > 1:
            raise _refused(f"{min(used[0])} beside {min(used[1])}")
    if schema.get("format", "date") not in _FORMATS:
        raise _refused(f"the format {schema['format']!r}")
    unlisted = set(schema.get("required", ())) - set(schema.get("properties", ()))
    if unlisted:
        raise _refused(f"required {min(unlisted)!r}, which is not among the properties,")


def _check_whole(key: str, schema: Mapping[str, Any], types: list[str]) -> None:
    value = schema[key]
    if key == "$ref" and not str(value).startswith("#/") and value != "#":
        raise _refused(f"the reference {value!r}")
    if key == "allOf" and isinstance(value, list) and len(value) > 1:
        raise _refused("allOf of several schemas")
    if types and key not in ("const", "enum"):
        raise _refused(f"type beside {key}")
    values = value if key == "enum" and isinstance(value, list) else [value]
    if types and not all(is_of(one, types) for one in values):
        raise _refused(f"type beside {key} values of another")


def _refused(what: str) -> RequestError:
    return RequestError(f"the backend xgrammar cannot hold an answer to {what} in a schema")
