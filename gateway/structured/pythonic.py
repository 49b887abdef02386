"""Arguments as Python writes them: keywords with literals, in the schema's order.

Types, listed values, lists and objects of a schema are followed; what else a schema can say
(bounds, patterns, references, unions) is not: there any literal goes.
"""

import keyword
from collections.abc import Mapping
from typing import Any

from baton.core.errors import RequestError
from gateway.structured.lark import Book, quoted

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
_SIMPLE = {
    "string": "VALUE_STR",
    "integer": "VALUE_INT",
    "number": "VALUE_FLOAT",
    "boolean": '("True" | "False")',
    "null": '"None"',
    "array": "value_list",
    "object": "value_dict",
}


def python_call(book: Book, name: str, schema: Mapping[str, Any]) -> str:
    """`name(key=literal, ...)`, as a rule of `book`. Raises RequestError."""
    if LITERALS not in book.rules:
        book.rules.append(LITERALS)
    if not all(map(_is_name, name.split("."))):
        raise RequestError(f"tools: {name!r} cannot be called in Python", "tools")
    properties = schema.get("properties", {})
    odd = [key for key in properties if not _is_name(key)]
    if odd:
        raise RequestError(f"tools: {odd[0]!r} of {name} cannot be a keyword in Python", "tools")
    keys = {key: f'"{key}="' for key in properties}
    return f'{quoted(name + "(")} {_listed(book, keys, schema)} ")"'


def _listed(book: Book, keys: Mapping[str, str], schema: Mapping[str, Any]) -> str:
    """Entries in order, separated; those that are not required may be left out."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    rest: tuple[str, str] = ('""', '""')  # what follows when something came, when nothing did
    for key in reversed(list(properties)):
        entry = f"{keys[key]} {_value(book, properties[key])}"
        some = f'", " {entry} {rest[0]}'
        first = f"{entry} {rest[0]}"
        if key not in required:
            some, first = f"({some} | {rest[0]})", f"({first} | {rest[1]})"
        rest = (book.rule(some), book.rule(first))
    return rest[1]


def _value(book: Book, schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "value"
    if "const" in schema:
        return quoted(_python(schema["const"]))
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return "(" + " | ".join(quoted(_python(one)) for one in schema["enum"]) + ")"
    kinds = schema.get("type")
    names = [str(kind) for kind in (kinds if isinstance(kinds, list) else [kinds])]
    if not names or not all(name in _SIMPLE for name in names):
        return "value"
    return "(" + " | ".join(_of_type(book, name, schema) for name in names) + ")"


def _of_type(book: Book, name: str, schema: Mapping[str, Any]) -> str:
    if name == "array" and "items" in schema:
        item = _value(book, schema["items"])
        return f'"[" ({item} (", " {item})*)? "]"'
    if name == "object" and isinstance(schema.get("properties"), Mapping):
        keys = {key: quoted(f"{_python(key)}: ") for key in schema["properties"]}
        return f'"{{" {_listed(book, keys, schema)} "}}"'
    return _SIMPLE[name]


def _python(value: Any) -> str:
    """As a literal; texts with double quotes, like all others here."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_python(k)}: {_python(v)}" for k, v in value.items()) + "}"
    return repr(value)


def _is_name(text: str) -> bool:
    return text.isidentifier() and text.isascii() and not keyword.iskeyword(text)
