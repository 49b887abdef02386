"""The grammar of an answer that must be tool calls, in the markup of the model's tool parser."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from baton.core.errors import RequestError
from gateway.structured.json_schema import JsonOptions, prepared
from gateway.structured.lark import Book, inline_json, literal, quoted
from gateway.structured.pythonic import python_call
from gateway.tool_use import ToolFunction

NO_ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}


class Markup(Enum):
    """How a model writes its calls. The values are vLLM's names of parsers."""

    HERMES = "hermes"  # <tool_call>\n{"name": ..., "arguments": ...}\n</tool_call>
    LLAMA3_JSON = "llama3_json"  # {"name": ..., "parameters": ...}; ...
    MISTRAL = "mistral"  # [TOOL_CALLS] [{"name": ..., "arguments": ...}, ...]
    PYTHONIC = "pythonic"  # [f(a=1), ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around calls of JSON."""

    begin: str  # before the first
    between: str
    end: str  # behind the last
    arguments: str  # the key


FRAMES = {
    Markup.HERMES: Frame(
        "<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>", "arguments"
    ),
    Markup.LLAMA3_JSON: Frame("", "; ", "", "parameters"),
    Markup.MISTRAL: Frame("[TOOL_CALLS] [", ", ", "]", "arguments"),
}


def forced_calls(
    tools: Sequence[ToolFunction],
    choice: str | None,
    markup: Markup,
    parallel: bool = True,
    specials: Mapping[str, int] | None = None,
    options: JsonOptions | None = None,
) -> str:
    """The text for llguidance. `choice` is the tool that is named, which is called once; None: any,
    one or more of them, or one where not `parallel`.

    Arguments are always an object that follows the tool's parameters. `specials` are special tokens
    by their text: a tag that is one of them is that token. Raises RequestError that names the field.
    """
    chosen = chosen_of(tools, choice)
    once = choice is not None or not parallel
    if markup is Markup.PYTHONIC:
        return _pythonic(chosen, once)
    return _json(chosen, FRAMES[markup], once, specials or {}, options or JsonOptions())


def chosen_of(tools: Sequence[ToolFunction], choice: str | None) -> list[ToolFunction]:
    """Those that may be called, at least one. Raises RequestError."""
    chosen = [tool for tool in tools if choice in (None, tool.name)]
    if not chosen:
        named = "there are no tools to call" if choice is None else f"there is no tool {choice!r}"
        raise RequestError(f"tool_choice: {named}", "tool_choice")
    return chosen


def _json(
    tools: Sequence[ToolFunction],
    frame: Frame,
    once: bool,
    specials: Mapping[str, int],
    options: JsonOptions,
) -> str:
    """Each tool has JSON of its own, so that references in its schema mean what they meant."""
    book = Book()
    calls = []
    for tool in tools:
        name = json.dumps(tool.name, ensure_ascii=False)
        head = f'{{"name": {name}, "{frame.arguments}": '
        schema = prepared(arguments_of(tool), options)
        calls.append(f'{quoted(head)} {inline_json(schema)} "}}"')
    call = book.rule(" | ".join(calls))
    more = "" if once else f"({literal(frame.between, specials)} {call})*"
    begin, end = (literal(text, specials) if text else "" for text in (frame.begin, frame.end))
    return book.text(" ".join(part for part in (begin, call, more, end) if part))


def _pythonic(tools: Sequence[ToolFunction], once: bool) -> str:
    book = Book()
    calls = [python_call(book, tool.name, arguments_of(tool)) for tool in tools]
    call = book.rule(" | ".join(calls))
    more = "" if once else f'(", " {call})*'
    return book.text(f'"[" {call} {more} "]"')


def arguments_of(tool: ToolFunction) -> dict[str, Any]:
    """The schema of its arguments, which are always an object. Raises RequestError."""
    if tool.parameters is None:
        return NO_ARGUMENTS
    kind = tool.parameters.get("type", "object")
    if kind != "object":
        raise RequestError(
            f"tools: the parameters of {tool.name} must be of type object, not {kind!r}", "tools"
        )
    return {**tool.parameters, "type": "object"}
