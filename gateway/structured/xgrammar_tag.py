"""Structural tags as xgrammar takes them: its own form, in which no special token is spelled out."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from baton.core.errors import RequestError
from gateway.structured.json_schema import JsonOptions, read_schema
from gateway.structured.structural_tag import read_tag
from gateway.structured.tag_formats import (
    FORMATS,
    Node,
    elements_of,
    flag,
    kind_of,
    need,
    style_of,
    tags_of,
    texts,
    trigger_of,
    triggers_of,
)
from gateway.structured.xgrammar_schema import for_xgrammar

MOST_SPACES = 64  # between JSON's tokens
Tag = dict[str, Any]


def xgrammar_tag(given: object, options: JsonOptions, specials: Mapping[str, int]) -> Tag:
    """`specials`: special tokens by their text. Raises RequestError for what xgrammar could not
    hold an answer to.
    """
    if options.disable_any_whitespace:
        raise RequestError(
            "the backend xgrammar has no disable_any_whitespace inside a structural tag"
        )
    try:
        return whole(_Formats(options, specials).format(read_tag(given)))
    except RecursionError as error:
        raise RequestError("the structural tag is nested too deeply") from error


def whole(format: Tag) -> Tag:
    return {"type": "structural_tag", "format": format}


def json_format(schema: Mapping[str, Any], options: JsonOptions, style: str = "json") -> Tag:
    """Raises RequestError."""
    kept = for_xgrammar(schema, options)
    format = {"type": "json_schema", "json_schema": kept, "style": style}
    return format if style != "json" else {**format, "max_whitespace_cnt": MOST_SPACES}


def literal_format(text: str, specials: Mapping[str, int]) -> Tag:
    """Exactly this text; where it spells one of `specials`, that token."""
    known = sorted(specials, key=len, reverse=True)
    parts = re.split("(" + "|".join(map(re.escape, known)) + ")", text) if known else [text]
    formats = [
        {"type": "token", "token": specials[part]}
        if part in specials
        else {"type": "const_string", "value": part}
        for part in parts
        if part
    ]
    if not formats:
        return {"type": "const_string", "value": ""}
    return formats[0] if len(formats) == 1 else {"type": "sequence", "elements": formats}


class _Formats:
    def __init__(self, options: JsonOptions, specials: Mapping[str, int]) -> None:
        self._options = options
        self._specials = specials
        self._kinds: dict[str, Callable[[Node], Tag]] = {
            "const_string": lambda node: literal_format(need(node, "value", str), specials),
            "json_schema": lambda node: self._json(node, style_of(node)),
            "qwen_xml_parameter": lambda node: self._json(node, "qwen_xml"),
            "regex": lambda node: {"type": "regex", "pattern": need(node, "pattern", str)},
            "grammar": lambda node: {
                "type": "grammar",
                "grammar": ebnf(need(node, "grammar", str)),
            },
            "any_text": lambda node: {"type": "any_text", "excludes": texts(node, "excludes")},
            "sequence": self._elements,
            "or": self._elements,
            "optional": self._content,
            "star": self._content,
            "plus": self._content,
            "repeat": self._repeat,
            "tag": self._tag,
            "triggered_tags": self._triggered_tags,
            "tags_with_separator": self._tags_with_separator,
        }
        assert self._kinds.keys() == FORMATS.keys()

    def format(self, node: object) -> Tag:
        kind = kind_of(node)
        assert isinstance(node, Mapping)
        return self._kinds[kind](node)

    def _json(self, node: Node, style: str) -> Tag:
        return json_format(read_schema(node.get("json_schema")), self._options, style)

    def _elements(self, node: Node) -> Tag:
        return {"type": node["type"], "elements": [self.format(one) for one in elements_of(node)]}

    def _content(self, node: Node) -> Tag:
        return {"type": node["type"], "content": self.format(need(node, "content", Mapping))}

    def _repeat(self, node: Node) -> Tag:
        bounds = {name: need(node, name, int) for name in ("min", "max")}
        return {**self._content(node), **bounds}

    def _tag(self, node: Node) -> Tag:
        kind_of(node)
        end = node.get("end")
        if isinstance(end, list) and end and all(isinstance(one, str) for one in end):
            ends: Any = [self._plain(one) for one in end]
        else:
            ends = self._mark(need(node, "end", str))
        content = self.format(need(node, "content", Mapping))
        begin = self._mark(need(node, "begin", str))
        return {"type": "tag", "begin": begin, "content": content, "end": ends}

    def _triggered_tags(self, node: Node) -> Tag:
        triggers, tags = triggers_of(node), [self._tag(tag) for tag in tags_of(node)]
        flags = {name: flag(node, name) for name in ("at_least_one", "stop_after_first")}
        for tag in tags_of(node):
            trigger_of(need(tag, "begin", str), triggers)
        if not any(trigger in self._specials for trigger in triggers):
            plain = [self._plain(trigger) for trigger in triggers]
            excludes = texts(node, "excludes")
            return {
                "type": "triggered_tags",
                "triggers": plain,
                "tags": tags,
                "excludes": excludes,
                **flags,
            }
        if not all(trigger in self._specials for trigger in triggers) or node.get("excludes"):
            raise RequestError(
                "the backend xgrammar takes no special tokens as triggers beside texts"
            )
        ids = [self._specials[trigger] for trigger in triggers]
        return {"type": "token_triggered_tags", "trigger_tokens": ids, "tags": tags, **flags}

    def _tags_with_separator(self, node: Node) -> Tag:
        once = flag(node, "stop_after_first")
        return {
            "type": "tags_with_separator",
            "tags": [self._tag(tag) for tag in tags_of(node)],
            "separator": "" if once else self._plain(need(node, "separator", str)),
            "at_least_one": flag(node, "at_least_one"),
            "stop_after_first": once,
        }

    def _mark(self, text: str) -> Any:
        """One special token, or a text without any."""
        if text in self._specials:
            return {"type": "token", "token": self._specials[text]}
        return self._plain(text)

    def _plain(self, text: str) -> str:
        spelled = next((special for special in self._specials if special in text), None)
        if spelled is not None:
            raise RequestError(
                f"the backend xgrammar cannot mix the special token {spelled} with text here"
            )
        return text


def ebnf(text: str) -> str:
    """Raises RequestError for Lark."""
    if not text.strip():
        raise RequestError("the grammar is empty")
    if "::=" not in text:
        raise RequestError("the backend xgrammar takes EBNF (root ::= ...), not Lark")
    return text
