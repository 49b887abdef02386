"""The formats of structural tags that are known here, and what each of them may hold."""

from collections.abc import Mapping
from typing import Any

from baton.core.errors import RequestError

Node = Mapping[str, Any]

# By type; a name with a question mark may be missing.
FORMATS: dict[str, str] = {
    "const_string": "value",
    "json_schema": "json_schema style?",
    "qwen_xml_parameter": "json_schema",
    "regex": "pattern",
    "grammar": "grammar",
    "any_text": "excludes?",
    "sequence": "elements",
    "or": "elements",
    "optional": "content",
    "star": "content",
    "plus": "content",
    "repeat": "min max content",
    "tag": "begin content end",
    "triggered_tags": "triggers tags at_least_one? stop_after_first? excludes?",
    "tags_with_separator": "tags separator? at_least_one? stop_after_first?",
}
STYLES = ("json", "qwen_xml")


def kind_of(node: object) -> str:
    """The type of a format, once its names are known ones. Raises RequestError."""
    kind = node.get("type") if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or not isinstance(kind, str) or kind not in FORMATS:
        raise RequestError(
            f"a structural tag has no format {kind!r}; there are {', '.join(FORMATS)}"
        )
    check_keys(node, kind, FORMATS[kind].replace("?", ""))
    return kind


def check_keys(node: Node, kind: str, known: str) -> None:
    for name in node:
        if name not in ("type", *known.split()):
            raise RequestError(f"a structural tag's {kind or 'structure'} has no {name!r}")


def need(node: Node, name: str, kind: type) -> Any:
    value = node.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        known = {str: "a text", list: "a list", int: "an integer"}.get(kind, "an object")
        raise RequestError(f"a structural tag's {name} must be {known}")
    return value


def flag(node: Node, name: str) -> bool:
    value = node.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(f"a structural tag's {name} must be true or false")
    return value


def texts(node: Node, name: str) -> list[str]:
    """None of them empty; there may be none. Raises RequestError."""
    found = node.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise RequestError(f"a structural tag's {name} must be texts, none of them empty")
    return found


def triggers_of(node: Node) -> list[str]:
    triggers = need(node, "triggers", list)
    if not triggers or not all(isinstance(one, str) and one for one in triggers):
        raise RequestError("triggers must be texts, at least one, none of them empty")
    return list(triggers)


def tags_of(node: Node) -> list[Node]:
    tags = need(node, "tags", list)
    if not tags or not all(isinstance(tag, Mapping) for tag in tags):
        raise RequestError("tags of a structural tag must be objects, at least one")
    if any(tag.get("type", "tag") != "tag" for tag in tags):
        raise RequestError("each of a structural tag's tags is of type tag")
    return [{**tag, "type": "tag"} for tag in tags]


def trigger_of(begin: str, triggers: list[str]) -> str:
    """The one that the beginning of a tag begins with. Raises RequestError."""
    trigger = next((one for one in triggers if begin.startswith(one)), None)
    if trigger is None:
        raise RequestError(f"the tag {begin!r} begins with none of the triggers")
    return trigger


def elements_of(node: Node) -> list[Any]:
    parts: list[Any] = need(node, "elements", list)
    if not parts:
        raise RequestError("elements of a structural tag must not be empty")
    return parts


def style_of(node: Node) -> str:
    style = node.get("style", "json")
    if style not in STYLES:
        raise RequestError(f"a structural tag's style is one of {', '.join(STYLES)}")
    return str(style)
