"""Constraints and forced calls in the form that `baton.grammars.xgrammar_compiler` reads."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from baton.core.errors import RequestError
from gateway.structured.constraint import Constraint, Kind
from gateway.structured.json_schema import JsonOptions, read_schema
from gateway.structured.tool_calls import FRAMES, Frame, Markup, arguments_of, chosen_of
from gateway.structured.xgrammar_schema import for_xgrammar
from gateway.structured.xgrammar_tag import (
    Tag,
    ebnf,
    json_format,
    literal_format,
    whole,
    xgrammar_tag,
)
from gateway.tool_use import ToolFunction


def constraint_text(constraint: Constraint, specials: Mapping[str, int]) -> str:
    """`specials`: special tokens by their text. Raises RequestError without a param for what this
    backend cannot hold an answer to.
    """
    options, value = constraint.options, constraint.value
    if options.whitespace_pattern is not None and constraint.kind in (
        Kind.JSON,
        Kind.STRUCTURAL_TAG,
    ):
        raise RequestError("the backend xgrammar has no whitespace_pattern")
    match constraint.kind:
        case Kind.JSON:
            schema = for_xgrammar(read_schema(value), options)
            return _text(
                {"json_schema": schema, "any_whitespace": not options.disable_any_whitespace}
            )
        case Kind.REGEX:
            if not value:
                raise RequestError("the regular expression is empty")
            return _text({"regex": value})
        case Kind.CHOICE:
            if not value:
                raise RequestError("there must be at least one choice")
            texts = [{"type": "const_string", "value": choice} for choice in value]
            return _text({"structural_tag": whole({"type": "or", "elements": texts})})
        case Kind.GRAMMAR:
            return _text({"ebnf": ebnf(value)})
        case Kind.STRUCTURAL_TAG:
            return _text({"structural_tag": xgrammar_tag(value, options, specials)})


def forced_calls_text(
    tools: Sequence[ToolFunction],
    choice: str | None,
    markup: Markup,
    parallel: bool,
    specials: Mapping[str, int],
) -> str:
    """As `forced_calls`. Raises RequestError that names the field."""
    chosen = chosen_of(tools, choice)
    if markup is Markup.PYTHONIC:
        raise RequestError(
            "tool_choice: the backend xgrammar has no grammar for pythonic calls", "tool_choice"
        )
    frame = FRAMES[markup]
    call = {"type": "or", "elements": [_call(tool, frame) for tool in chosen]}
    elements: list[Tag] = [literal_format(frame.begin, specials), call]
    if choice is None and parallel:
        more = {"type": "sequence", "elements": [literal_format(frame.between, specials), call]}
        elements.append({"type": "star", "content": more})
    elements.append(literal_format(frame.end, specials))
    return _text({"structural_tag": whole({"type": "sequence", "elements": elements})})


def _call(tool: ToolFunction, frame: Frame) -> Tag:
    head = f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "{frame.arguments}": '
    return {
        "type": "sequence",
        "elements": [
            {"type": "const_string", "value": head},
            json_format(arguments_of(tool), JsonOptions()),
            {"type": "const_string", "value": "}"},
        ],
    }


def _text(form: dict[str, Any]) -> str:
    return json.dumps(form, ensure_ascii=False)
