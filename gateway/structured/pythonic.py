"""Arguments as Python writes them: keywords with literals that follow the schema, in its order.

What a schema can say and no such grammar can follow is refused by name.
"""

import keyword
from collections.abc import Mapping
from typing import Any

from baton.core.errors import RequestError
from gateway.structured.lark import Book, inline_json, quoted, times
from gateway.structured.schema_refs import resolved
from gateway.structured.schema_words import ANNOTATIONS, BOUNDS, WHOLE, is_of, types_of

# One of each kind of literal. A JSON escape of \\u would be half a character in Python.
LITERALS = r"""
VALUE_STR: /"([^"\\\x00-\x1f]|\\["\\nrtbf])*"/
VALUE_INT: /-?(0|[1-9][0-9]{0,30})/
VALUE_FLOAT: /-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?/
value: VALUE_STR | VALUE_FLOAT | "True" | "False" | "None" | value_list | value_dict
value_list: "[" (value (", " value)*)? "]"
value_dict: "{" (value_pair (", " value_pair)*)? "}"
value_pair: VALUE_STR ": " value
""".strip()
_PLAIN = {
    "string": "VALUE_STR",
    "integer": "VALUE_INT",
    "number": "VALUE_FLOAT",
    "boolean": '("True" | "False")',
    "null": '"None"',
}
# What JSON and Python write alike, so that llguidance's own grammar of it will do.
_ALIKE = {
    "string": frozenset(["minLength", "maxLength", "pattern", "format"]),
    "integer": BOUNDS | {"multipleOf"},
    "number": BOUNDS | {"multipleOf"},
}
_KNOWN = {
    **_ALIKE,
    "boolean": frozenset[str](),
    "null": frozenset[str](),
    "array": frozenset(["items", "prefixItems", "minItems", "maxItems"]),
    "object": frozenset(["properties", "required", "additionalProperties"]),
}


def python_call(book: Book, name: str, schema: Mapping[str, Any]) -> str:
    """`name(key=literal, ...)`, as a part of a rule of `book`. Raises RequestError."""
    if LITERALS not in book.rules:
        book.rules.append(LITERALS)
    if not all(map(_is_name, name.split("."))):
        raise RequestError(f"tools: {name!r} cannot be called in Python", "tools")
    try:
        return f'{quoted(name + "(")} {_Values(book, schema).keywords()} ")"'
    except RecursionError as error:
        raise RequestError(f"tools: {name}: the schema is nested too deeply", "tools") from error
    except RequestError as error:
        raise RequestError(f"tools: {name}: {error}", "tools") from error


class _Values:
    """Grammars of values. Raise RequestError without a param."""

    def __init__(self, book: Book, root: Mapping[str, Any]) -> None:
        self._book = book
        self._root = root
        self._rules: dict[str, str] = {}  # by reference

    def keywords(self) -> str:
        shape = self._root
        if "$ref" in shape:
            shape = resolved(shape, self._root)
        _check({**shape, "type": "object"}, ["object"])
        properties = _properties(shape)
        odd = [key for key in properties if not _is_name(key)]
        if odd:
            raise RequestError(f"{odd[0]!r} cannot be a keyword in Python")
        return self._listed({key: f'"{key}="' for key in properties}, properties, shape)

    def of(self, schema: Any) -> str:
        if schema is True:
            return "value"
        if not isinstance(schema, Mapping):
            raise RequestError(f"there is no value of the schema {schema!r}")
        whole = next((key for key in WHOLE if key in schema), None)
        types = types_of(schema)
        _check(schema, types)
        if whole is not None:
            return self._whole(whole, schema, types)
        if not types:
            return "value"
        return "(" + " | ".join(self._of_type(name, schema) for name in types) + ")"

    def _whole(self, key: str, schema: Mapping[str, Any], types: list[str]) -> str:
        value = schema[key]
        if key == "$ref":
            return self._reference(schema)
        if key == "const":
            return _one_of([value], types)
        if not isinstance(value, list) or not value:
            raise RequestError(f"the schema's {key} must be a list, not empty")
        if key == "enum":
            return _one_of(value, types)
        if key == "allOf" and len(value) > 1:
            raise _unfollowed("allOf of several schemas")
        return "(" + " | ".join(self.of(one) for one in value) + ")"

    def _reference(self, schema: Mapping[str, Any]) -> str:
        reference = str(schema["$ref"])
        if reference not in self._rules:
            name = self._rules[reference] = self._book.later()  # it may hold itself
            self._book.now(name, self.of(resolved(schema, self._root)))
        return self._rules[reference]

    def _of_type(self, name: str, schema: Mapping[str, Any]) -> str:
        if name == "array":
            return self._array(schema)
        if name == "object":
            return self._object(schema)
        said = {key: schema[key] for key in schema if key in _ALIKE.get(name, ())}
        return inline_json({"type": name, **said}) if said else _PLAIN[name]

    def _array(self, schema: Mapping[str, Any]) -> str:
        """The first items are of `prefixItems`, the others of `items`."""
        first = [self._book.rule(self.of(one)) for one in schema.get("prefixItems", [])]
        least = _count(schema, "minItems", 0)
        most = _count(schema, "maxItems", -1)
        if most != -1 and most < max(least, 0):
            raise RequestError("the schema's maxItems is less than its minItems")
        open = schema.get("items", True) is not False
        if not open and least > len(first):
            raise RequestError("the schema's minItems are more than it has")
        if not open:
            most = len(first) if most == -1 else min(most, len(first))
        if most != -1:
            first = first[:most]
        rest = ""
        if open and most != len(first):
            item = self._book.rule(self.of(schema.get("items", True)))
            left = -1 if most == -1 else most - max(len(first), 1)
            rest = times(f'", " {item}', max(0, least - max(len(first), 1)), left)
            if not first:
                some = f"{item} {rest}"
                return f'"[" {some if least else f"({some})?"} "]"'
        return f'"[" {self._prefix(first, rest, least)} "]"'

    def _prefix(self, first: list[str], rest: str, least: int) -> str:
        """Items with their commas; from the `least`th on the answer may stop."""
        body = rest or '""'
        for place in range(len(first) - 1, -1, -1):
            comma = '", " ' if place else ""
            body = f"{comma}{first[place]} {body}"
            body = self._book.rule(body if place < least else f'{body} | ""')
        return body

    def _object(self, schema: Mapping[str, Any]) -> str:
        properties = _properties(schema)
        if properties:
            keys = {key: quoted(f"{_python(key)}: ") for key in properties}
            return f'"{{" {self._listed(keys, properties, schema)} "}}"'
        others = schema.get("additionalProperties", True)
        if others is False:
            return '"{}"'
        pair = self._book.rule(f'VALUE_STR ": " {self.of(others)}')
        return f'"{{" ({pair} (", " {pair})*)? "}}"'

    def _listed(
        self, keys: Mapping[str, str], properties: Mapping[str, Any], schema: Mapping[str, Any]
    ) -> str:
        """Entries in order, separated; those that are not required may be left out."""
        required = schema.get("required", [])
        rest: tuple[str, str] = ('""', '""')  # what follows when something came, when nothing did
        for key in reversed(list(properties)):
            entry = f"{keys[key]} {self.of(properties[key])}"
            some = f'", " {entry} {rest[0]}'
            first = f"{entry} {rest[0]}"
            if key not in required:
                some, first = f"({some} | {rest[0]})", f"({first} | {rest[1]})"
            rest = (self._book.rule(some), self._book.rule(first))
        return rest[1]


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Those that can be written: what is required and not listed is whatever others may be."""
    listed, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(listed, Mapping) or not isinstance(required, list):
        raise RequestError("the schema's properties must be an object, required a list")
    others = schema.get("additionalProperties", True)
    return {**listed, **{key: others for key in required if key not in listed}}


def _check(schema: Mapping[str, Any], types: list[str]) -> None:
    said = set(schema) - ANNOTATIONS
    whole = [key for key in WHOLE if key in schema]
    if whole:
        beside = said - {whole[0]} or ({"type"} if types and _typed_alone(whole[0]) else set())
        if beside:
            raise _unfollowed(f"{min(beside)} beside {whole[0]}")
        return
    unknown = said - frozenset[str]().union(*(_KNOWN[name] for name in types))
    if unknown:
        raise _unfollowed(min(unknown) + ("" if types else " without a type"))


def _typed_alone(whole: str) -> bool:
    """A type beside a list of values picks among them; beside another schema it would be a second
    one.
    """
    return whole not in ("const", "enum")


def _one_of(values: list[Any], types: list[str]) -> str:
    fitting = [value for value in values if not types or is_of(value, types)]
    if not fitting:
        raise RequestError("the schema lists no value of its type")
    return "(" + " | ".join(quoted(_python(value)) for value in fitting) + ")"


def _count(schema: Mapping[str, Any], name: str, default: int) -> int:
    value = schema.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or (name in schema and value < 0):
        raise RequestError(f"the schema's {name} must be a count")
    return value


def _python(value: Any) -> str:
    """As a literal; texts with double quotes, like all others here."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_python(k)}: {_python(v)}" for k, v in value.items()) + "}"
    return repr(value)


def _unfollowed(what: str) -> RequestError:
    return RequestError(f"pythonic calls cannot follow {what} in a schema")


def _is_name(text: str) -> bool:
    return text.isidentifier() and text.isascii() and not keyword.iskeyword(text)
