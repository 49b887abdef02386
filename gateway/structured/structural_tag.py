"""Structural tags: free text in which marked parts follow a grammar. Both forms that vLLM takes."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from baton.core.errors import RequestError
from gateway.structured.json_schema import JsonOptions, prepared, read_schema
from gateway.structured.lark import ANY_TEXT, Book, inline_json, literal, quoted, regex
from gateway.structured.text_grammars import to_lark

Node = Mapping[str, Any]


def structural_tag(given: object, options: JsonOptions, specials: Mapping[str, int]) -> str:
    """The grammar's text. Raises RequestError."""
    try:
        return _Tags(options, specials).text_of(_parsed(given))
    except RecursionError as error:
        raise RequestError("the structural tag is nested too deeply") from error


def _parsed(given: object) -> Node:
    if isinstance(given, str):
        if not given.strip():
            raise RequestError("the structural tag is empty")
        try:
            given = json.loads(given)
        except ValueError as error:
            raise RequestError(f"the structural tag is not JSON: {error}") from error
    if not isinstance(given, Mapping):
        raise RequestError("a structural tag is a JSON object")
    return given


class _Tags:
    def __init__(self, options: JsonOptions, specials: Mapping[str, int]) -> None:
        self._options = options
        self._specials = specials
        self._book = Book()
        self._text = ""  # the rule of free text, once there is one
        self._formats: dict[str, Callable[[Node], str]] = {
            "const_string": self._const_string,
            "json_schema": self._json_schema,
            "regex": self._regex,
            "grammar": self._grammar,
            "any_text": self._any_text,
            "sequence": self._sequence,
            "or": self._either,
            "tag": self._tag,
            "triggered_tags": self._triggered_tags,
            "tags_with_separator": self._tags_with_separator,
        }

    def text_of(self, tag: Node) -> str:
        if "structures" in tag or "triggers" in tag:
            _check_keys(tag, "structural_tag", "structures triggers")
            return self._book.text(self._legacy(tag))
        _check_keys(tag, "structural_tag", "format")
        return self._book.text(self._format(_need(tag, "format", Mapping)))

    def _legacy(self, tag: Node) -> str:
        tags = []
        for entry in _need(tag, "structures", list):
            if not isinstance(entry, Mapping):
                raise RequestError("each of structures is an object with begin, schema and end")
            _check_keys(entry, "", "begin schema end")
            content = {"type": "json_schema", "json_schema": entry.get("schema")}
            begin, end = _need(entry, "begin", str), _need(entry, "end", str)
            tags.append({"type": "tag", "begin": begin, "content": content, "end": end})
        return self._triggered_tags(
            {"type": "triggered_tags", "triggers": tag.get("triggers"), "tags": tags}
        )

    def _format(self, node: object) -> str:
        kind = node.get("type") if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or kind not in self._formats:
            raise RequestError(
                f"a structural tag has no format {kind!r}; there are {', '.join(self._formats)}"
            )
        return self._formats[kind](node)

    def _const_string(self, node: Node) -> str:
        _check_keys(node, "const_string", "value")
        return literal(_need(node, "value", str), self._specials)

    def _json_schema(self, node: Node) -> str:
        _check_keys(node, "json_schema", "json_schema")
        return inline_json(prepared(read_schema(node.get("json_schema")), self._options))

    def _regex(self, node: Node) -> str:
        _check_keys(node, "regex", "pattern")
        return self._book.rule(regex(_need(node, "pattern", str)))

    def _grammar(self, node: Node) -> str:
        _check_keys(node, "grammar", "grammar")
        return self._book.side(to_lark(_need(node, "grammar", str)))

    def _any_text(self, node: Node) -> str:
        _check_keys(node, "any_text", "")
        return self._free_text()

    def _sequence(self, node: Node) -> str:
        _check_keys(node, "sequence", "elements")
        return " ".join(self._all(node, "elements"))

    def _either(self, node: Node) -> str:
        _check_keys(node, "or", "elements")
        return "(" + " | ".join(self._all(node, "elements")) + ")"

    def _tag(self, node: Node, trigger: str = "") -> str:
        """Without its trigger, if that stands already."""
        _check_keys(node, "tag", "begin content end")
        begin = _need(node, "begin", str)[len(trigger) :]
        content, end = _need(node, "content", Mapping), _need(node, "end", str)
        if content.get("type") == "any_text" and end and end not in self._specials:
            _check_keys(content, "any_text", "")
            inner = self._book.rule(ANY_TEXT, f"[suffix={quoted(end)}]")
        else:
            inner = f"{self._format(content)} {literal(end, self._specials)}"
        return self._book.rule(f"{literal(begin, self._specials)} {inner}")

    def _triggered_tags(self, node: Node) -> str:
        _check_keys(node, "triggered_tags", "triggers tags at_least_one stop_after_first")
        triggers = _need(node, "triggers", list)
        if not triggers or not all(isinstance(one, str) and one for one in triggers):
            raise RequestError("triggers must be texts, at least one, none of them empty")
        heads = {trigger: self._up_to(trigger) for trigger in triggers}
        tags = []
        for tag in _tags_of(node):
            begin = _need(tag, "begin", str)
            trigger = next((one for one in triggers if begin.startswith(one)), None)
            if trigger is None:
                raise RequestError(f"the tag {begin!r} begins with none of the triggers")
            tags.append(f"{heads[trigger]} {self._tag(tag, trigger)}")
        some = self._book.rule(" | ".join(tags))
        if _flag(node, "stop_after_first"):
            return some if _flag(node, "at_least_one") else f"({some} | {self._free_text()})"
        return f"{some}{'+' if _flag(node, 'at_least_one') else '*'} {self._free_text()}"

    def _tags_with_separator(self, node: Node) -> str:
        _check_keys(node, "tags_with_separator", "tags separator at_least_one stop_after_first")
        some = self._book.rule(" | ".join(self._tag(tag) for tag in _tags_of(node)))
        whole = some
        if not _flag(node, "stop_after_first"):
            whole = f"{some} ({literal(_need(node, 'separator', str), self._specials)} {some})*"
        return whole if _flag(node, "at_least_one") else f"({whole})?"

    def _up_to(self, trigger: str) -> str:
        if trigger in self._specials:
            return self._book.rule(f"{self._free_text()} {literal(trigger, self._specials)}")
        return self._book.rule(f"TEXT {quoted(trigger)}", "[lazy]") if self._free_text() else ""

    def _free_text(self) -> str:
        if not self._text:
            self._book.rules.append(f"TEXT: {ANY_TEXT}")
            self._text = self._book.rule("TEXT")
        return self._text

    def _all(self, node: Node, name: str) -> list[str]:
        parts = [self._format(part) for part in _need(node, name, list)]
        if not parts:
            raise RequestError(f"{name} of a structural tag must not be empty")
        return parts


def _tags_of(node: Node) -> list[Node]:
    tags = _need(node, "tags", list)
    if not tags or not all(isinstance(tag, Mapping) for tag in tags):
        raise RequestError("tags of a structural tag must be objects, at least one")
    return list(tags)


def _need(node: Node, name: str, kind: type) -> Any:
    value = node.get(name)
    if not isinstance(value, kind):
        known = "a text" if kind is str else "a list" if kind is list else "an object"
        raise RequestError(f"a structural tag's {name} must be {known}")
    return value


def _flag(node: Node, name: str) -> bool:
    value = node.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(f"a structural tag's {name} must be true or false")
    return value


def _check_keys(node: Node, kind: str, known: str) -> None:
    for name in node:
        if name not in ("type", *known.split()):
            raise RequestError(f"a structural tag's {kind or 'structure'} has no {name!r}")
