"""Calls are found in what the model writes: the same ones in streams and in whole answers."""

import json
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from baton.core.errors import SettingsError
from baton.core.token_record import FinishReason
from gateway.output import ChoiceText, OutputPlan
from gateway.parsers import factory
from gateway.parsers.pythonic import PythonicFormat
from gateway.parsers.tool_formats import BUILT_IN, detected, tool_format
from gateway.tool_use import ToolMode, ToolUse
from tests.support.gateway_output import EOS, TAGGED, answer, ended, ids_of, output, streamed

CALL = '<tool_call>\n{"name": "get", "arguments": {"city": "東京😀", "n": 3}}\n</tool_call>'
ARGUMENTS = '{"city": "東京😀", "n": 3}'


def plan(
    name: str = "hermes",
    mode: ToolMode = ToolMode.AUTO,
    parallel: bool = True,
    stop: tuple[str, ...] = (),
) -> OutputPlan:
    tools = tool_format(name, None)
    use = ToolUse(mode, ("get",), parallel)
    return OutputPlan(primary_eos=EOS, tools=tools, tool_use=use, stop=stop)


def calls(got: ChoiceText) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in got.tool_calls]


def test_a_call_has_its_name_and_its_arguments_as_written() -> None:
    got = answer(plan(), ended(CALL))
    assert calls(got) == [("get", ARGUMENTS)]
    assert (got.content, got.finish_reason) == (None, "tool_calls")
    assert got.tool_calls[0].id.startswith("chatcmpl-tool-")


def test_a_stream_tells_the_name_once_and_then_the_arguments() -> None:
    machine = output(plan())
    deltas = streamed(machine, ended("Let me look.\n" + CALL))
    parts = [part for delta in deltas for part in delta.tool_calls]
    assert [(part.name, part.id is None) for part in parts if part.name] == [("get", False)]
    assert parts[0].name == "get"
    assert len(parts) > 10
    assert {part.index for part in parts} == {0}
    assert "".join(part.arguments for part in parts) == ARGUMENTS
    assert "".join(delta.text for delta in deltas) == "Let me look.\n"
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["tool_calls"]


def test_content_before_the_markup_does_not_wait_for_it() -> None:
    machine = output(plan())
    deltas = streamed(machine, ended("Look <b>here"))
    assert [delta.text for delta in deltas][:6] == ["L", "o", "o", "k", " ", ""]
    assert "".join(delta.text for delta in deltas) == "Look <b>here"


def test_several_calls_are_numbered_and_have_ids_of_their_own() -> None:
    got = answer(plan(), ended(f"{CALL}\n{CALL}\n"))
    assert calls(got) == [("get", ARGUMENTS)] * 2
    assert len({call.id for call in got.tool_calls}) == 2
    assert got.text == ""


def test_text_behind_a_call_is_content() -> None:
    got = answer(plan(), ended(CALL + "\nDone."))
    assert (got.text, len(got.tool_calls)) == ("\nDone.", 1)


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ('{"name": "get"}', "{}"),
        ('{"name": "get", "arguments": null}', "{}"),
        ('{"name": "get", "arguments": {}}', "{}"),
        ('{"arguments": {"a": 1}, "name": "get"}', '{"a": 1}'),
        ('{"name": "get", "arguments": "{\\"a\\": 1}"}', '{"a": 1}'),
        ('{"name": "get", "arguments": {"a": "}\\"]"}, "id": "x"}', '{"a": "}\\"]"}'),
        ('{"name":"get","parameters":{"a":[{"b":[]}]}}', '{"a":[{"b":[]}]}'),
    ],
)
def test_arguments_are_one_object_however_they_are_written(written: str, arguments: str) -> None:
    got = answer(plan(), ended(f"<tool_call>{written}</tool_call>"))
    assert calls(got) == [("get", arguments)]
    assert got.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\nnot json\n</tool_call>",
        "<tool_call>{}</tool_call>",
        '<tool_call>{"name": 3, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "\\ud800", "arguments": {}}</tool_call>',
        '<tool_call>{"nome": "get"}</tool_call>',
        '\n<tool_call>{"name": "get"',
        "  \n",
        "a < b <tool",
        "<tool_call",
    ],
)
def test_what_turns_out_to_be_no_call_is_content(text: str) -> None:
    got = answer(plan(), ended(text))
    assert (got.text, got.tool_calls, got.finish_reason) == (text, [], "stop")


def test_a_call_with_broken_arguments_is_told_but_not_as_complete() -> None:
    got = answer(plan(), ended('<tool_call>{"name": "get", "arguments": {"a": }}</tool_call>'))
    assert (calls(got), got.finish_reason) == ([("get", '{"a": }')], "stop")


def test_what_only_python_takes_for_json_completes_no_call() -> None:
    got = answer(plan(), ended('<tool_call>{"name": "get", "arguments": {"a": NaN}}</tool_call>'))
    assert (calls(got), got.finish_reason) == ([("get", '{"a": NaN}')], "stop")


def test_a_call_after_a_broken_one_is_found() -> None:
    got = answer(plan(), ended(f"<tool_call>oops {CALL}"))
    assert (got.text, calls(got)) == ("<tool_call>oops ", [("get", ARGUMENTS)])


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_call_cut_by_the_length_is_partial_and_the_reason_is_length(size: int) -> None:
    batch = ended(CALL[:60], FinishReason.LENGTH)
    deltas = streamed(output(plan()), batch, size)
    told = "".join(part.arguments for delta in deltas for part in delta.tool_calls)
    assert told == ARGUMENTS[: len(told)] != ""
    assert deltas[-1].finish_reason == "length"
    assert "".join(delta.text for delta in deltas) == ""


def test_a_call_cut_before_its_arguments_is_not_told_at_all() -> None:
    got = answer(plan(), ended('<tool_call>\n{"name": "get", ', FinishReason.LENGTH))
    assert (got.text, got.tool_calls, got.finish_reason) == ("", [], "length")


def test_a_second_call_that_was_cut_away_is_not_hidden_by_the_first() -> None:
    got = answer(plan(), ended(CALL + '\n<tool_call>{"na', FinishReason.LENGTH))
    assert (len(got.tool_calls), got.finish_reason) == (1, "length")


def test_a_whole_call_is_whole_without_its_closing_tag() -> None:
    whole = CALL.removesuffix("\n</tool_call>")
    assert answer(plan(), ended(whole, FinishReason.LENGTH)).finish_reason == "tool_calls"
    got = answer(plan(stop=("</tool_call>",)), ended(CALL))
    assert (got.finish_reason, got.stop_reason) == ("tool_calls", "</tool_call>")


def test_a_stop_string_inside_a_call_never_completes_it() -> None:
    for stop in ("東", "3}", "}}"):
        got = answer(plan(stop=(stop,)), ended(CALL))
        assert (got.finish_reason, got.stop_reason) == ("stop", stop)
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            json.loads(got.tool_calls[0].arguments)


def test_one_call_at_a_time_ends_the_answer_with_its_last_token() -> None:
    machine = output(plan(parallel=False))
    batch = ended(CALL + CALL)
    deltas = streamed(machine, batch, 7)
    assert machine.ended
    assert {part.index for delta in deltas for part in delta.tool_calls} == {0}
    assert deltas[-1].finish_reason == "tool_calls"
    count = sum(len(delta.token_ids) for delta in deltas)
    assert count == len(ids_of(CALL.removesuffix("\n</tool_call>")))


def test_a_forced_call_stands_beside_no_markup_and_has_its_own_reason() -> None:
    named = answer(plan(mode=ToolMode.NAMED), ended(CALL))
    assert (calls(named), named.finish_reason, named.text) == ([("get", ARGUMENTS)], "stop", "")
    required = answer(plan(mode=ToolMode.REQUIRED), ended(CALL))
    assert required.finish_reason == "tool_calls"
    cut = answer(plan(mode=ToolMode.REQUIRED), ended("<tool_cal", FinishReason.LENGTH))
    assert (cut.text, cut.tool_calls, cut.finish_reason) == ("", [], "length")


def test_without_tools_markup_is_text() -> None:
    assert answer(plan(mode=ToolMode.OFF), ended(CALL)).text == CALL


def test_unknown_functions_pass() -> None:
    text = '<tool_call>{"name": "unheard_of", "arguments": {}}</tool_call>'
    assert calls(answer(plan(), ended(text))) == [("unheard_of", "{}")]


def test_choices_do_not_share_a_parser() -> None:
    machine = output(plan(), n=2)
    batch = ended(CALL)
    other = [type(r)(1, r.position, r.token_id, r.finish_reason) for r in ended("text")]
    mixed = [*batch[:10], *other, *batch[10:]]
    deltas = streamed(machine, mixed, 5)
    assert "".join(d.text for d in deltas if d.choice == 1) == "text"
    assert not [d for d in deltas if d.choice == 1 and d.tool_calls]


LLAMA = '{"name": "get", "parameters": {"city": "Rom"}}'


@pytest.mark.parametrize("before", ["", "<|python_tag|>", "\n "])
def test_llama_writes_calls_as_the_whole_answer(before: str) -> None:
    got = answer(plan("llama3_json"), ended(f"{before}{LLAMA}; {LLAMA}"))
    assert calls(got) == [("get", '{"city": "Rom"}')] * 2
    assert (got.content, got.finish_reason) == (None, "tool_calls")


@pytest.mark.parametrize(
    "text",
    ["Rom is big.", '{"answer": 3}', '{"name": "Bob", "age": 3}', "{", "", "<|python_tag|>x"],
)
def test_other_json_and_text_is_content_for_llama(text: str) -> None:
    got = answer(plan("llama3_json"), ended(text))
    assert (got.text, got.tool_calls, got.finish_reason) == (text, [], "stop")


@pytest.mark.parametrize(
    "text",
    [
        '[TOOL_CALLS][{"name": "get", "arguments": {"a": 1}}, {"name": "set", "arguments": {}}]',
        '[TOOL_CALLS]get{"a": 1}[TOOL_CALLS]set{}',
        '[TOOL_CALLS]get[ARGS]{"a": 1}[TOOL_CALLS]set[ARGS]{}',
        '[TOOL_CALLS]get[CALL_ID]123456789[ARGS]{"a": 1}\n[TOOL_CALLS] set {}\n',
    ],
)
def test_mistral_writes_calls_in_several_ways(text: str) -> None:
    got = answer(plan("mistral"), ended(text))
    assert calls(got) == [("get", '{"a": 1}'), ("set", "{}")]
    assert (got.content, got.finish_reason) == (None, "tool_calls")
    assert all(len(call.id) == 9 and call.id.isalnum() for call in got.tool_calls)


@pytest.mark.parametrize(
    "text", ["[TOOL_CALLS]oops", "[TOOL_CALLS][1]", "[TOOL_CALLS] a b {}", " a"]
)
def test_mistrals_broken_markup_is_content(text: str) -> None:
    got = answer(plan("mistral"), ended(text))
    assert (got.text, got.tool_calls, got.finish_reason) == (text, [], "stop")


def test_python_calls_become_json() -> None:
    text = (
        """[get(city="Köln, (am) 'Rhein'", n=-3, on=True, x=None, l=[1, {'a': (2,)}]), set ( )]"""
    )
    got = answer(plan("pythonic"), ended(text))
    first, second = got.tool_calls
    assert json.loads(first.arguments) == {
        "city": "Köln, (am) 'Rhein'", "n": -3, "on": True, "x": None, "l": [1, {"a": [2]}],
    }  # fmt: skip
    assert "Köln" in first.arguments
    assert (second.name, second.arguments) == ("set", "{}")
    assert (got.content, got.finish_reason) == (None, "tool_calls")


@pytest.mark.parametrize(
    "text",
    ["[link](there)", "[1, 2]", "[see also(x)]", "[f(1)]", "[f(a=b)]", "[f(a='\\ud800')]", "["],
)
def test_lists_that_are_no_calls_are_content(text: str) -> None:
    got = answer(plan("pythonic"), ended(text))
    assert (got.text, got.tool_calls, got.finish_reason) == (text, [], "stop")


def test_a_python_call_that_was_cut_keeps_whole_arguments() -> None:
    got = answer(plan("pythonic"), ended("[get(a=1, b='x", FinishReason.LENGTH))
    assert (calls(got), got.finish_reason) == ([("get", '{"a": 1')], "length")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("..<tool_call>..", "hermes"),
        ("..[TOOL_CALLS]..", "mistral"),
        ('..{"name": "x", "parameters": ..', "llama3_json"),
        ("..<|python_start|>..", "pythonic"),
        ("", "hermes"),
    ],
)
def test_the_format_is_detected_from_the_template(template: str, name: str) -> None:
    assert detected(template) == name


def test_formats_know_their_names() -> None:
    assert {name: make().name for name, make in BUILT_IN.items()} == {n: n for n in BUILT_IN}


def test_an_unknown_parser_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"--tool-call-parser other is none of auto, none"):
        tool_format("other", None)
    assert tool_format("none", None) is None


def test_marks_are_seen_only_by_their_parser() -> None:
    assert plan("mistral").visible(TAGGED)
    assert not plan("hermes").visible(TAGGED)


def test_other_packages_register_parsers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = EntryPoints(
        [EntryPoint("mine", "gateway.parsers.pythonic:PythonicFormat", "baton.tool_parsers")]
    )
    monkeypatch.setattr(factory, "entry_points", entries.select)
    assert isinstance(tool_format("mine", None), PythonicFormat)


def test_a_function_asked_for_by_name_is_called_once() -> None:
    got = answer(plan(mode=ToolMode.NAMED), ended(CALL + CALL))
    assert (calls(got), got.finish_reason) == ([("get", ARGUMENTS)], "stop")
