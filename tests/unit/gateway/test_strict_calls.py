"""Answers that may call a strict tool: free text, and calls that follow the tool's parameters."""

import logging
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import RequestError
from baton.grammars.xgrammar_compiler import XgrammarCompiler
from gateway.schema.tools import ToolFields
from gateway.structured.strict_calls import strict_calls, strict_calls_xgrammar
from gateway.structured.tool_calls import Markup
from gateway.tool_use import ToolFunction
from tests.support.acceptance import Acceptance
from tests.support.xgrammar_extra import XgrammarAcceptance, needs_xgrammar, quiet

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
TOOLS = [ToolFunction("f", POINT, strict=True), ToolFunction("g", POINT)]
CALLS = {  # of `f` and `g` with {"x": VALUE}
    Markup.HERMES: '<tool_call>\n{"name": "NAME", "arguments": {"x": VALUE}}\n</tool_call>',
    Markup.LLAMA3_JSON: '{"name": "NAME", "parameters": {"x": VALUE}}',
    Markup.MISTRAL: '[TOOL_CALLS][{"name": "NAME", "arguments": {"x": VALUE}}]',
    Markup.PYTHONIC: "[NAME(x=VALUE)]",
}
FREE = {
    Markup.HERMES: ["", "hello <tool", '{"name": "h"}'],
    Markup.LLAMA3_JSON: ["", "hello", '{"city": "x"}', "{", ' {"a', "<b>", "[1]"],
    Markup.MISTRAL: ["", "hello [TOOL", '[{"name": "h"}]'],
    Markup.PYTHONIC: ["", "hello", "[1, 2]", "[link](there)", "[name", "f(x)"],
}


def call(markup: Markup, name: str, value: str) -> str:
    return CALLS[markup].replace("NAME", name).replace("VALUE", value)


@pytest.mark.parametrize("markup", Markup)
def test_a_strict_tools_arguments_follow_and_anothers_are_any_object(
    acceptance: Acceptance, markup: Markup
) -> None:
    text = strict_calls(TOOLS, markup, {})
    quote = '"a"'

    assert acceptance.takes(text, call(markup, "f", "1"))
    assert acceptance.takes(text, call(markup, "g", quote))
    assert not acceptance.begins(text, call(markup, "f", quote))
    assert not acceptance.takes(text, call(markup, "h", "1"))


@pytest.mark.parametrize("markup", Markup)
def test_what_is_no_call_is_free(acceptance: Acceptance, markup: Markup) -> None:
    text = strict_calls(TOOLS, markup, {})

    for free in FREE[markup]:
        assert acceptance.takes(text, free), free


@pytest.mark.parametrize("markup", [Markup.HERMES, Markup.MISTRAL])
def test_text_may_stand_before_and_behind_calls(acceptance: Acceptance, markup: Markup) -> None:
    text = strict_calls(TOOLS, markup, {})
    first, second = call(markup, "f", "1"), call(markup, "f", "2")

    assert acceptance.takes(text, f"I look.\n{first}\n{second} Done.")
    assert not acceptance.begins(text, f"I look.\n{first}\n{call(markup, 'f', 'true')}")


def test_several_calls_of_the_whole_answer_follow(acceptance: Acceptance) -> None:
    json_calls = strict_calls(TOOLS, Markup.LLAMA3_JSON, {})
    python_calls = strict_calls(TOOLS, Markup.PYTHONIC, {})
    first, second = (call(Markup.LLAMA3_JSON, "f", value) for value in ("1", "true"))

    assert acceptance.takes(json_calls, f"{first}; {first}")
    assert not acceptance.begins(json_calls, f"{first}; {second}")
    assert acceptance.takes(python_calls, "[f(x=1), g(y=[None]), f(x=2)]")
    assert not acceptance.begins(python_calls, "[f(x=1), f(x=True")
    assert not acceptance.begins(python_calls, "[f(y")


@pytest.mark.parametrize(
    "hidden", [' \n{ "name"', '{"parameters"', '{"n\\u0061me"', '<|python_tag|>{"name": "h"']
)
def test_a_call_cannot_pass_for_free_json(acceptance: Acceptance, hidden: str) -> None:
    assert not acceptance.begins(strict_calls(TOOLS, Markup.LLAMA3_JSON, {}), hidden)


def test_the_newer_form_of_mistral_follows_too(acceptance: Acceptance) -> None:
    text = strict_calls(TOOLS, Markup.MISTRAL, {})

    assert acceptance.takes(text, '[TOOL_CALLS]f{"x": 1}')
    assert acceptance.takes(text, '[TOOL_CALLS]f[ARGS]{"x": 1}[TOOL_CALLS]g{}')
    assert not acceptance.begins(text, '[TOOL_CALLS]f{"x": "')
    assert not acceptance.begins(text, "[TOOL_CALLS]h")


def test_a_tag_that_is_a_special_token_is_that_token() -> None:
    text = strict_calls(TOOLS, Markup.HERMES, {"<tool_call>": 7, "</tool_call>": 8})

    assert "<[7]>" in text
    assert "<[8]>" in text
    assert "tool_call" not in text


def test_what_a_strict_tool_says_and_pythonic_calls_cannot_follow_is_refused() -> None:
    schema = {"properties": {"a": {"type": "array", "uniqueItems": True}}}
    strict, loose = (ToolFunction("f", schema, strict=one) for one in (True, False))

    with pytest.raises(RequestError) as caught:
        strict_calls([strict], Markup.PYTHONIC, {})
    assert caught.value.param == "tools"
    strict_calls([loose], Markup.PYTHONIC, {})


@pytest.mark.parametrize(("said", "strict"), [(True, True), (False, False), (None, False)])
def test_a_tool_is_strict_when_it_says_so(said: bool | None, strict: bool) -> None:
    function: dict[str, Any] = {"name": "f", "parameters": POINT, "strict": said}
    asked = ToolFields.model_validate({"tools": [{"type": "function", "function": function}]})

    assert [tool.strict for tool in asked.tool_use.functions] == [strict]


@pytest.mark.parametrize("markup", [Markup.LLAMA3_JSON, Markup.MISTRAL, Markup.PYTHONIC])
def test_xgrammar_refuses_what_it_cannot_hold(markup: Markup) -> None:
    with pytest.raises(RequestError) as caught:
        strict_calls_xgrammar(TOOLS, markup, {})
    assert caught.value.param == "tools"


@needs_xgrammar
@quiet
def test_xgrammar_holds_calls_to_strict_tools(tokenizer_folder: Path) -> None:
    markup = Markup.HERMES
    compiler = XgrammarCompiler(tokenizer_folder, 512, (2,), logging.getLogger())
    taken = XgrammarAcceptance(compiler, tokenizer_folder, 512)
    text = strict_calls_xgrammar(TOOLS, markup, {})

    assert taken.takes(text, f"I look. {call(markup, 'f', '1')} Done.")
    assert taken.takes(text, call(markup, "g", '"a"'))
    assert not taken.begins(text, call(markup, "f", '"a"'))
    assert not taken.begins(text, call(markup, "h", "1"))
