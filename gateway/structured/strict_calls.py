"""Answers that may call tools, some of which are strict: free text, in which a call is one of a tool
that there is, its arguments following the parameters where that tool is strict.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from baton.core.errors import RequestError
from gateway.parsers import llama3_json, mistral, pythonic
from gateway.parsers.json_call import ARGUMENTS, OTHER_KEYS
from gateway.structured.json_schema import ANY_OBJECT, JsonOptions, prepared
from gateway.structured.lark import ANY_TEXT, Book, inline_json, literal, quoted
from gateway.structured.pythonic import any_python_call, python_call
from gateway.structured.structural_tag import structural_tag
from gateway.structured.tool_calls import FRAMES, Markup, arguments_of
from gateway.structured.xgrammar_tag import xgrammar_tag
from gateway.tool_use import ToolFunction

Node = dict[str, Any]

_SPACE = r"[ \n\r\t]*"


def strict_calls(tools: Sequence[ToolFunction], markup: Markup, specials: Mapping[str, int]) -> str:
    """The text for llguidance. Raises RequestError that names the field."""
    match markup:
        case Markup.LLAMA3_JSON:
            return _llama3_json(tools, specials)
        case Markup.PYTHONIC:
            return _pythonic(tools, specials)
        case _:
            return structural_tag(_tags(tools, markup), JsonOptions(), specials)


def strict_calls_xgrammar(
    tools: Sequence[ToolFunction], markup: Markup, specials: Mapping[str, int]
) -> str:
    """The same for xgrammar."""
    if markup is not Markup.HERMES:
        raise RequestError(
            f"tools: the backend xgrammar cannot hold {markup.value} calls to strict tools", "tools"
        )
    return json.dumps(
        {"structural_tag": xgrammar_tag(_tags(tools, markup), JsonOptions(), specials)}
    )


def _tags(tools: Sequence[ToolFunction], markup: Markup) -> Node:
    """Where a tag tells that a call comes."""
    if markup is Markup.HERMES:
        begin, end = "<tool_call>", "</tool_call>"
        line = {"type": "optional", "content": _constant("\n")}
        calls = [_json_call(tool, FRAMES[markup].arguments) for tool in tools]
        content = _sequence(line, _either(calls), line)
    else:
        begin, end = mistral.START, ""
        content = _either([_mistral_list(tools), *map(_mistral_call, tools)])
    tag = {"type": "tag", "begin": begin, "content": content, "end": end}
    return {"format": {"type": "triggered_tags", "triggers": [begin], "tags": [tag]}}


def _mistral_list(tools: Sequence[ToolFunction]) -> Node:
    calls = [_json_call(tool, FRAMES[Markup.MISTRAL].arguments) for tool in tools]
    more = {"type": "star", "content": _sequence(_constant(", "), _either(calls))}
    space = {"type": "optional", "content": _constant(" ")}
    return _sequence(space, _constant("["), _either(calls), more, _constant("]"))


def _mistral_call(tool: ToolFunction) -> Node:
    """As newer tokenizers have it."""
    mark = {"type": "optional", "content": _constant(mistral.ARGS)}
    return _sequence(_constant(tool.name), mark, _arguments(tool))


def _json_call(tool: ToolFunction, key: str) -> Node:
    return _sequence(_constant(_head(tool, key)), _arguments(tool), _constant("}"))


def _head(tool: ToolFunction, key: str) -> str:
    return f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "{key}": '


def _arguments(tool: ToolFunction) -> Node:
    return {"type": "json_schema", "json_schema": arguments_of(tool) if tool.strict else ANY_OBJECT}


def _constant(text: str) -> Node:
    return {"type": "const_string", "value": text}


def _sequence(*elements: Node) -> Node:
    return {"type": "sequence", "elements": list(elements)}


def _either(elements: list[Node]) -> Node:
    return {"type": "or", "elements": elements}


def _llama3_json(tools: Sequence[ToolFunction], specials: Mapping[str, int]) -> str:
    """What the parser would take for a call is one; JSON of another kind is still free."""
    frame, book = FRAMES[Markup.LLAMA3_JSON], Book()
    calls = []
    for tool in tools:
        schema = prepared(_arguments(tool)["json_schema"], JsonOptions())
        calls.append(f'{quoted(_head(tool, frame.arguments))} {inline_json(schema)} "}}"')
    call = book.rule(" | ".join(calls))
    keys = "|".join(("name", *ARGUMENTS, *OTHER_KEYS))
    text = _free(
        book,
        llama3_json.TAG,
        rf'\{{{_SPACE}"(({keys})"|[^"\\]*\\)',  # an escape may hide a key
    )
    lead = literal(llama3_json.TAG, specials)
    return book.text(f"({lead})? {call} ({quoted(frame.between)} {call})* | {text}")


def _pythonic(tools: Sequence[ToolFunction], specials: Mapping[str, int]) -> str:
    """The first call begins in one piece with its bracket: text would swallow that alone."""
    book = Book()

    def calls(before: str) -> str:
        return " | ".join(
            python_call(book, tool.name, arguments_of(tool), before)
            if tool.strict
            else any_python_call(book, tool.name, before)
            for tool in tools
        )

    first, more = book.rule(calls("[")), book.rule(calls(", "))
    text = _free(book, pythonic.START, rf"\[{_SPACE}[A-Za-z_][A-Za-z0-9_.\-]*{_SPACE}\(")
    lead, end = literal(pythonic.START, specials), literal(pythonic.END, specials)
    return book.text(f'({lead})? {first} ({more})* "]" ({end})? | {text}')


def _free(book: Book, tag: str, call: str) -> str:
    """A terminal of text that does not begin with a call, a regular expression, behind `tag`."""
    spelled = tag.replace("|", r"\|")
    head = f"/{_SPACE}({spelled}{_SPACE})?{call}/"
    book.rules.append(f"FREE: {ANY_TEXT} & ~({head} {ANY_TEXT})")
    return "FREE"
