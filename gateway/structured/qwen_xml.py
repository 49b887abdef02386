"""Arguments as Qwen3-Coder writes them: <parameter=name>value</parameter>, in the schema's order.

A text stands as it is; everything else is JSON.
"""

from collections.abc import Callable, Mapping
from typing import Any

from baton.core.errors import RequestError
from gateway.structured.lark import ANY_TEXT, Book, quoted
from gateway.structured.schema_refs import resolved, with_definitions

END = "</parameter>"
_SPACE = r"/[ \n\r\t]{0,64}/"
_TEXT_BOUNDS = ("pattern", "format", "minLength", "maxLength")

Json = Callable[[Any], str]  # a schema -> its grammar


def qwen_parameters(book: Book, schema: Any, json: Json) -> str:
    """A rule of `book` for an object of this schema. Raises RequestError."""
    root = schema if isinstance(schema, Mapping) else {}
    shape = resolved(root, root)
    if shape.get("type", "object") != "object" or not isinstance(shape.get("properties"), Mapping):
        raise RequestError("qwen_xml parameters are an object that lists its properties")
    required = shape.get("required", [])
    unlisted = [name for name in required if name not in shape["properties"]]
    if unlisted:
        raise RequestError(f"qwen_xml: the property {unlisted[0]!r} is required and not listed")
    parts = []
    for name, inner in shape["properties"].items():
        if any(mark in name for mark in "<>=\n"):
            raise RequestError(f"qwen_xml: there can be no parameter {name!r}")
        value = _value(book, resolved(inner, root), root, json)
        part = book.rule(f"{quoted(f'<parameter={name}>')} {value} {_SPACE}")
        parts.append(part if name in required else f"{part}?")
    return book.rule(" ".join([_SPACE, *parts]))


def _value(book: Book, schema: Any, root: Mapping[str, Any], json: Json) -> str:
    """With the end tag."""
    listed = _listed(schema)
    if listed is not None:
        return f"({' | '.join(quoted(one) for one in listed)}) {quoted(END)}"
    if _may_be_text(schema, root):
        return book.rule(ANY_TEXT, f"[suffix={quoted(END)}]")
    return f"{_SPACE} {json(with_definitions(schema, root))} {_SPACE} {quoted(END)}"


def _listed(schema: Any) -> list[str] | None:
    """The texts that it may be, if it lists them and they are all texts."""
    if not isinstance(schema, Mapping):
        return None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or not values:
        return None
    if not all(isinstance(value, str) for value in values):
        return None
    if any(END in value for value in values):
        raise RequestError(f"qwen_xml: no text can hold {END}")
    return values


def _may_be_text(schema: Any, root: Mapping[str, Any]) -> bool:
    """Raises RequestError where the text would have to be of a certain form."""
    if not isinstance(schema, Mapping) or not schema:
        return schema is True or schema == {}
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return any(_may_be_text(resolved(one, root), root) for one in schema[key])
    kinds = schema.get("type")
    if "string" not in (kinds if isinstance(kinds, list) else [kinds]):
        return False
    bounds = [name for name in _TEXT_BOUNDS if name in schema]
    if bounds:
        raise RequestError(f"qwen_xml: a text cannot be held to {bounds[0]}")
    return True
