"""The fields that constrain an answer: one grammar, or a 400 that names the field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.core.errors import RequestError, SettingsError
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.completion import CompletionRequest
from gateway.schema.parse import parse
from gateway.structured.config import StructuredConfig, read_config
from gateway.structured.constraint import Constraint, Kind, beside_tools, constraint_of
from gateway.tool_use import ToolMode
from tests.support.acceptance import Acceptance

PLAIN = StructuredConfig()
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x"],
}
AS_SCHEMA = {"type": "json_schema", "json_schema": {"name": "point", "schema": POINT}}


def constraint(config: StructuredConfig = PLAIN, **fields: Any) -> Constraint | None:
    body = {"messages": [{"role": "user", "content": "x"}], **fields}
    return constraint_of(parse(ChatCompletionRequest, json.dumps(body).encode()), config)


def grammar(config: StructuredConfig = PLAIN, **fields: Any) -> str:
    found = constraint(config, **fields)
    assert found is not None
    return found.grammar({})


def outputs(**said: Any) -> str:
    return grammar(structured_outputs=said)


@pytest.mark.parametrize(
    ("fields", "good", "bad"),
    [
        ({"structured_outputs": {"json": POINT}}, '{"x": 1, "y":2}', '{"y": 1}'),
        ({"structured_outputs": {"json": json.dumps(POINT)}}, '{"x":1}', '{"x":true}'),
        ({"structured_outputs": {"json_object": True}}, '{"q": [1, {}]}', "[1]"),
        ({"structured_outputs": {"regex": r"[a-c]+/\d{2}"}}, "abc/12", "abc/1"),
        ({"structured_outputs": {"regex": "^a$"}}, "a", "b"),
        ({"structured_outputs": {"choice": ["yes", 'é"\\\n', ""]}}, 'é"\\\n', "no"),
        ({"structured_outputs": {"grammar": 'root ::= "a" b+\nb ::= [0-9]'}}, "a12", "a"),
        ({"structured_outputs": {"grammar": 'start: "a" B+\nB: /[0-9]/'}}, "a12", "b"),
        ({"response_format": {"type": "json_object"}}, "{}", "[]"),
        ({"response_format": AS_SCHEMA}, '{"x":1}', "{}"),
        ({"guided_json": POINT}, '{"x":1}', "{}"),
        ({"guided_regex": "a+"}, "aa", "b"),
        ({"guided_choice": ["a", "b"]}, "b", "c"),
        ({"guided_grammar": 'root ::= "x"'}, "x", "y"),
        ({"guided_regex": "a", "guided_decoding_backend": "guidance"}, "a", "b"),
    ],
)
def test_each_form_takes_what_it_describes(
    acceptance: Acceptance, fields: dict[str, Any], good: str, bad: str
) -> None:
    text = grammar(**fields)

    assert acceptance.takes(text, good)
    assert not acceptance.takes(text, bad)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=5))
def test_any_text_can_be_a_choice(acceptance: Acceptance, choices: list[str]) -> None:
    text = outputs(choice=choices)

    assert all(acceptance.takes(text, choice) for choice in choices)
    assert not acceptance.takes(text, "".join(choices) + "?!")


def test_a_free_answer_has_no_constraint() -> None:
    assert constraint() is None
    assert constraint(response_format={"type": "text"}) is None
    assert constraint(structured_outputs={"json_object": False}) is None
    assert constraint(response_format=None, structured_outputs=None) is None


def test_what_vllms_own_class_carries_beside_it_means_nothing() -> None:
    said = {"regex": "a", "_backend": "xgrammar", "_backend_was_auto": True, "json": None}

    assert constraint(structured_outputs=said) is not None


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"structured_outputs": {"json": {}, "regex": "a"}}, "structured_outputs", "exactly one"),
        ({"structured_outputs": {"json": {}, "json_object": True}}, "structured_outputs", "one"),
        ({"structured_outputs": {}}, "structured_outputs", "one of"),
        ({"structured_outputs": {"disable_fallback": True}}, "structured_outputs", "one of"),
        ({"structured_outputs": {"regexp": "a"}}, "structured_outputs", "regexp"),
        ({"structured_outputs": {"json": 5}}, "structured_outputs", "json"),
        ({"structured_outputs": {"choice": "a"}}, "structured_outputs", "choice"),
        ({"structured_outputs": "json"}, "structured_outputs", "structured_outputs"),
        ({"response_format": {"type": "xml"}}, "response_format", "type"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
         "response_format", "name"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
         "response_format", "schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": None}}},
         "response_format", "schema"),
        ({"response_format": {"type": "json_object", "schema": {}}}, "response_format", "schema"),
        ({"response_format": {**AS_SCHEMA, "type": "json_object"}}, "response_format", "has no"),
        ({"response_format": {"type": "structural_tag"}}, "response_format", "structures"),
        ({"response_format": AS_SCHEMA, "structured_outputs": {"regex": "a"}},
         "structured_outputs", "both"),
        ({"response_format": AS_SCHEMA, "guided_regex": "a"}, "guided_regex", "both"),
        ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_regex", "both"),
        ({"guided_decoding_backend": "outlines"}, "guided_decoding_backend", "built in"),
        ({"guided_whitespace_pattern": " "}, "guided_whitespace_pattern", "without"),
        ({"structured_outputs": {"json": {}, "disable_any_whitespace": True,
                                 "whitespace_pattern": " "}}, "structured_outputs", "exclude"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(
    fields: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        constraint(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "said",
    [
        {"json": "{"},
        {"json": "5"},
        {"json": '{"a":' * 3000},
        {"regex": ""},
        {"choice": []},
        {"grammar": " "},
        {"grammar": "root ::= ("},
        {"grammar": "root ::= " + "(" * 3000},
        {"structural_tag": ""},
        {"structural_tag": "[]"},
    ],
)
def test_what_cannot_be_written_down_as_a_grammar_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        outputs(**said)


def test_completions_have_the_same_fields() -> None:
    body = {"prompt": "x", "structured_outputs": {"regex": "a"}}
    found = constraint_of(parse(CompletionRequest, json.dumps(body).encode()), PLAIN)

    assert found is not None
    assert found.kind is Kind.REGEX


# -- options


def test_whitespace_is_bounded_unless_said_otherwise(acceptance: Acceptance) -> None:
    usual = outputs(json=POINT)
    compact = outputs(json=POINT, disable_any_whitespace=True)
    one = outputs(json=POINT, whitespace_pattern=" ?")

    assert acceptance.takes(usual, '{\n  "x": 1,\n  "y": 2\n}')
    assert not acceptance.begins(usual, "{" + " " * 65)
    assert acceptance.takes(compact, '{"x":1,"y":2}')
    assert not acceptance.begins(compact, '{"x": ')
    assert acceptance.takes(one, '{"x": 1}')
    assert not acceptance.begins(one, "{  ")


def test_objects_can_be_closed_but_only_those_that_list_their_properties(
    acceptance: Acceptance,
) -> None:
    schema = {
        "type": "object",
        "properties": {"open": {"type": "object"}, "p": POINT, "c": {"const": {"properties": 1}}},
        "required": ["p"],
    }
    loose, closed = outputs(json=schema), outputs(json=schema, disable_additional_properties=True)
    extra = '{"p": {"x": 1, "z": 2}}'

    assert acceptance.takes(loose, extra)
    assert not acceptance.takes(closed, extra)
    assert acceptance.takes(closed, '{"open": {"any": 1}, "p": {"x": 1}, "c": {"properties": 1}}')


def test_the_server_may_set_the_options_and_a_request_has_the_last_word(
    acceptance: Acceptance,
) -> None:
    config = read_config({"disable_any_whitespace": True, "disable_additional_properties": True})
    set_here = grammar(config, response_format=AS_SCHEMA)
    own = grammar(config, structured_outputs={"json": POINT, "disable_any_whitespace": False})

    assert not acceptance.begins(set_here, '{"x": ')
    assert not acceptance.begins(set_here, '{"x":1,"z"')
    assert acceptance.takes(own, '{"x": 1}')
    assert acceptance.takes(
        grammar(config, structured_outputs={"json": POINT, "whitespace_pattern": " "}), '{ "x": 1 }'
    )


def test_options_alone_go_with_a_response_format(acceptance: Acceptance) -> None:
    text = grammar(response_format=AS_SCHEMA, structured_outputs={"disable_any_whitespace": True})

    assert not acceptance.begins(text, '{"x": ')


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backend": "outlines"}, "not built in"),
        ({"backend": "magic"}, "there is no backend"),
        ({"speed": 1}, "knows no 'speed'"),
        ({"disable_fallback": "yes"}, "true or false"),
    ],
)
def test_a_wrong_server_config_is_told_at_the_start(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_config(given)


def test_a_server_config_may_be_left_out() -> None:
    assert read_config(None) == StructuredConfig()
    assert read_config({"backend": "guidance", "enable_in_reasoning": True}).enable_in_reasoning


# -- beside tools


def test_a_forced_call_wins_over_a_response_format() -> None:
    asked = constraint(response_format=AS_SCHEMA)

    assert beside_tools(asked, ToolMode.AUTO) is asked
    assert beside_tools(asked, ToolMode.REQUIRED) is None
    assert beside_tools(asked, ToolMode.NAMED) is None
    assert beside_tools(None, ToolMode.NAMED) is None


def test_a_named_tool_and_a_constraint_of_ones_own_contradict_each_other() -> None:
    asked = constraint(structured_outputs={"regex": "a"})

    assert beside_tools(asked, ToolMode.AUTO) is asked
    assert beside_tools(asked, ToolMode.REQUIRED) is None
    with pytest.raises(RequestError, match="both") as caught:
        beside_tools(asked, ToolMode.NAMED)
    assert caught.value.param == "structured_outputs"
