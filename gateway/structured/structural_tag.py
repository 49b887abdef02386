"""Structural tags: free text in which marked parts follow a grammar. Both forms that vLLM takes."""

import json
from collections.abc import Callable, Mapping

from baton.core.errors import RequestError
from gateway.structured.json_schema import JsonOptions, prepared, read_schema
from gateway.structured.lark import ANY_TEXT, Book, inline_json, literal, quoted, regex, times
from gateway.structured.qwen_xml import qwen_parameters
from gateway.structured.tag_formats import (
    Node,
    check_keys,
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
from gateway.structured.text_grammars import to_lark

MOST_REPEATS = 10_000


def structural_tag(given: object, options: JsonOptions, specials: Mapping[str, int]) -> str:
    """The grammar's text. Raises RequestError."""
    book = Book()
    try:
        return book.text(TagRules(book, options, specials).format(read_tag(given)))
    except RecursionError as error:
        raise RequestError("the structural tag is nested too deeply") from error


def read_tag(given: object) -> Node:
    """The format of a tag in either form, or of the text of one. Raises RequestError."""
    tag = _parsed(given)
    if "structures" in tag or "triggers" in tag:
        check_keys(tag, "structural_tag", "structures triggers")
        return _legacy(tag)
    check_keys(tag, "structural_tag", "format")
    found: Node = need(tag, "format", Mapping)
    return found


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


def _legacy(tag: Node) -> Node:
    tags = []
    for entry in need(tag, "structures", list):
        if not isinstance(entry, Mapping):
            raise RequestError("each of structures is an object with begin, schema and end")
        check_keys(entry, "", "begin schema end")
        content = {"type": "json_schema", "json_schema": entry.get("schema")}
        begin, end = need(entry, "begin", str), need(entry, "end", str)
        tags.append({"type": "tag", "begin": begin, "content": content, "end": end})
    return {"type": "triggered_tags", "triggers": tag.get("triggers"), "tags": tags}


class TagRules:
    """Formats as rules of `book`."""

    def __init__(self, book: Book, options: JsonOptions, specials: Mapping[str, int]) -> None:
        self._options = options
        self._specials = specials
        self._book = book
        self._texts: dict[tuple[str, ...], str] = {}  # terminals of free text, by what they exclude
        self._formats: dict[str, Callable[[Node], str]] = {
            "const_string": lambda node: self._literal(need(node, "value", str)),
            "json_schema": self._json_schema,
            "qwen_xml_parameter": lambda node: self._qwen(node.get("json_schema")),
            "regex": lambda node: self._book.rule(regex(need(node, "pattern", str))),
            "grammar": lambda node: self._book.side(to_lark(need(node, "grammar", str))),
            "any_text": lambda node: self._book.rule(self._text(texts(node, "excludes"))),
            "sequence": lambda node: " ".join(map(self.format, elements_of(node))),
            "or": lambda node: "(" + " | ".join(map(self.format, elements_of(node))) + ")",
            "optional": lambda node: self._content(node) + "?",
            "star": lambda node: self._content(node) + "*",
            "plus": lambda node: self._content(node) + "+",
            "repeat": self._repeat,
            "tag": self._tag,
            "triggered_tags": self._triggered_tags,
            "tags_with_separator": self._tags_with_separator,
        }

    def format(self, node: object) -> str:
        kind = kind_of(node)
        assert isinstance(node, Mapping)
        return self._formats[kind](node)

    def _literal(self, text: str) -> str:
        return literal(text, self._specials)

    def _json(self, schema: object) -> str:
        return inline_json(prepared(read_schema(schema), self._options))

    def _json_schema(self, node: Node) -> str:
        schema = node.get("json_schema")
        return self._qwen(schema) if style_of(node) == "qwen_xml" else self._json(schema)

    def _qwen(self, schema: object) -> str:
        return qwen_parameters(self._book, read_schema(schema), self._json)

    def _content(self, node: Node) -> str:
        return self._book.rule(self.format(need(node, "content", Mapping)))

    def _repeat(self, node: Node) -> str:
        least, most = need(node, "min", int), need(node, "max", int)
        if not 0 <= least <= MOST_REPEATS or not (most == -1 or least <= most <= MOST_REPEATS):
            raise RequestError(
                f"a structural tag's repeat goes from min to max, at most {MOST_REPEATS}; "
                "max -1: without a bound"
            )
        return times(self._content(node), least, most)

    def _tag(self, node: Node, trigger: str = "") -> str:
        """Without its trigger, if that stands already."""
        kind_of(node)
        begin = need(node, "begin", str)[len(trigger) :]
        content = need(node, "content", Mapping)
        ends = [node["end"]] if isinstance(node.get("end"), str) else need(node, "end", list)
        if not ends or not all(isinstance(end, str) for end in ends):
            raise RequestError("a structural tag's end must be a text, or texts, at least one")
        inner = self._book.rule(" | ".join(self._ended(content, end) for end in ends))
        return self._book.rule(f"{self._literal(begin)} {inner}")

    def _ended(self, content: Node, end: str) -> str:
        if content.get("type") == "any_text" and end and end not in self._specials:
            kind_of(content)
            text = self._text(texts(content, "excludes"))
            return self._book.rule(text, f"[suffix={quoted(end)}]")
        return f"{self.format(content)} {self._literal(end)}"

    def _triggered_tags(self, node: Node) -> str:
        kind_of(node)
        triggers, excluded = triggers_of(node), texts(node, "excludes")
        heads = {trigger: self._up_to(trigger, excluded) for trigger in triggers}
        tags = []
        for tag in tags_of(node):
            trigger = trigger_of(need(tag, "begin", str), triggers)
            tags.append(f"{heads[trigger]} {self._tag(tag, trigger)}")
        some = self._book.rule(" | ".join(tags))
        text = self._book.rule(self._text(excluded))
        if flag(node, "stop_after_first"):
            return some if flag(node, "at_least_one") else f"({some} | {text})"
        return f"{some}{'+' if flag(node, 'at_least_one') else '*'} {text}"

    def _tags_with_separator(self, node: Node) -> str:
        some = self._book.rule(" | ".join(self._tag(tag) for tag in tags_of(node)))
        whole = some
        if not flag(node, "stop_after_first"):
            whole = f"{some} ({self._literal(need(node, 'separator', str))} {some})*"
        return whole if flag(node, "at_least_one") else f"({whole})?"

    def _up_to(self, trigger: str, excluded: list[str]) -> str:
        text = self._text(excluded)
        if trigger in self._specials:
            return self._book.rule(f"{text} {self._literal(trigger)}")
        return self._book.rule(f"{text} {quoted(trigger)}", "[lazy]")

    def _text(self, excluded: list[str]) -> str:
        """The terminal of any text in which none of these stands."""
        key = tuple(excluded)
        if key not in self._texts:
            name = f"TEXT{len(self._texts) or ''}"
            without = " | ".join(quoted(one) for one in excluded)
            body = f"{ANY_TEXT} & ~({ANY_TEXT} ({without}) {ANY_TEXT})" if excluded else ANY_TEXT
            self._book.rules.append(f"{name}: {body}")
            self._texts[key] = name
        return self._texts[key]
