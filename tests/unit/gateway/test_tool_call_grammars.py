"""Answers that must be tool calls, in each markup."""

import ast
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.core.errors import RequestError
from gateway.parsers.python_value import json_of
from gateway.structured.tool_calls import Markup, forced_calls
from gateway.tool_use import ToolFunction
from tests.support.acceptance import Acceptance

WEATHER = ToolFunction(
    "get_weather",
    {
        "type": "object",
        "properties": {
            "city": {"$ref": "#/$defs/City"},
            "days": {"type": "integer"},
            "unit": {"enum": ["C", "F"]},
        },
        "required": ["city"],
        "$defs": {"City": {"type": "string"}},
    },
)
NOW = ToolFunction("now")
TOOLS = [WEATHER, NOW]
JSON_MARKUPS = [Markup.HERMES, Markup.LLAMA3_JSON, Markup.MISTRAL]


def written(markup: Markup, *calls: tuple[str, dict[str, Any]]) -> str:
    """As a model of that markup writes them."""
    match markup:
        case Markup.HERMES:
            return "\n".join(
                f"<tool_call>\n{_entry(call, 'arguments')}\n</tool_call>" for call in calls
            )
        case Markup.LLAMA3_JSON:
            return "; ".join(_entry(call, "parameters") for call in calls)
        case Markup.MISTRAL:
            return f"[TOOL_CALLS] [{', '.join(_entry(call, 'arguments') for call in calls)}]"
        case Markup.PYTHONIC:
            return f"[{', '.join(_python(call) for call in calls)}]"


def _entry(call: tuple[str, dict[str, Any]], key: str) -> str:
    return json.dumps({"name": call[0], key: call[1]}, ensure_ascii=False)


def _python(call: tuple[str, dict[str, Any]]) -> str:
    spelled = {True: "True", False: "False", None: "None"}

    def literal(value: Any) -> str:
        if isinstance(value, str):
            return json.dumps(value, ensure_ascii=False)
        if value is None or isinstance(value, bool):
            return spelled[value]
        return repr(value)

    return f"{call[0]}({', '.join(f'{key}={literal(v)}' for key, v in call[1].items())})"


@pytest.mark.parametrize("markup", Markup)
def test_one_call_or_several_are_taken_and_nothing_else(
    acceptance: Acceptance, markup: Markup
) -> None:
    text = forced_calls(TOOLS, None, markup)
    here = ("get_weather", {"city": '東京 "x"', "days": 3})

    assert acceptance.takes(text, written(markup, here))
    assert acceptance.takes(text, written(markup, ("now", {}), here, ("now", {})))
    assert not acceptance.takes(text, "hello")
    assert not acceptance.takes(text, written(markup))
    assert not acceptance.takes(text, written(markup, here) + " and more")


@pytest.mark.parametrize("markup", Markup)
def test_arguments_follow_the_parameters(acceptance: Acceptance, markup: Markup) -> None:
    text = forced_calls(TOOLS, None, markup)

    for wrong in ({}, {"city": "x", "unit": "K"}, {"city": "x", "days": "3"}):
        assert not acceptance.takes(text, written(markup, ("get_weather", wrong)))
    assert not acceptance.takes(text, written(markup, ("now", {"a": 1})))
    assert not acceptance.takes(text, written(markup, ("other", {})))


@pytest.mark.parametrize("markup", JSON_MARKUPS)
def test_arguments_are_an_object_even_where_the_schema_does_not_say_so(
    acceptance: Acceptance, markup: Markup
) -> None:
    text = forced_calls([ToolFunction("f", {})], None, markup)
    call = written(markup, ("f", {"any": [1]}))

    assert acceptance.takes(text, call)
    assert not acceptance.takes(text, call.replace('{"any": [1]}', "true"))


@pytest.mark.parametrize("markup", Markup)
def test_a_named_tool_is_called_once_and_no_other(acceptance: Acceptance, markup: Markup) -> None:
    text = forced_calls(TOOLS, "now", markup)

    assert acceptance.takes(text, written(markup, ("now", {})))
    assert not acceptance.takes(text, written(markup, ("now", {}), ("now", {})))
    assert not acceptance.takes(text, written(markup, ("get_weather", {"city": "x"})))


@pytest.mark.parametrize("markup", Markup)
def test_without_parallel_calls_there_is_one(acceptance: Acceptance, markup: Markup) -> None:
    text = forced_calls(TOOLS, None, markup, parallel=False)

    assert acceptance.takes(text, written(markup, ("now", {})))
    assert not acceptance.begins(text, written(markup, ("now", {}), ("now", {})))


@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=12))
def test_any_name_can_be_called_in_json(acceptance: Acceptance, name: str) -> None:
    for markup in JSON_MARKUPS:
        text = forced_calls([ToolFunction(name)], None, markup)
        assert acceptance.takes(text, written(markup, (name, {})))


def test_a_tag_that_is_a_special_token_is_that_token() -> None:
    text = forced_calls([NOW], None, Markup.HERMES, specials={"<tool_call>": 7, "</tool_call>": 8})
    mistral = forced_calls([NOW], None, Markup.MISTRAL, specials={"[TOOL_CALLS]": 9})

    assert text.startswith('start: <[7]> "\\n" r0')
    assert '<[8]> "\\n" <[7]>' in text
    assert mistral.startswith('start: <[9]> " ["')


def test_what_the_pythonic_grammar_takes_python_reads(acceptance: Acceptance) -> None:
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "ratio": {"type": ["number", "null"]},
            "flag": {"type": "boolean"},
            "list": {"type": "array", "items": {"type": "integer"}},
            "inner": {"type": "object", "properties": {"a": {"const": None}}, "required": ["a"]},
            "any": {},
        },
        "required": ["text", "list"],
    }
    text = forced_calls([ToolFunction("a.b", schema)], None, Markup.PYTHONIC)
    call = (
        '[a.b(text="q\\"\\n", ratio=-1.5e3, flag=True, list=[1, 2], inner={"a": None}, '
        'any={"k": ["x", False]})]'
    )

    assert acceptance.takes(text, call)
    assert acceptance.takes(text, '[a.b(text="", ratio=None, list=[])]')
    assert not acceptance.takes(text, '[a.b(list=[], text="")]')
    assert not acceptance.takes(text, '[a.b(text="", list=[true])]')
    assert not acceptance.begins(text, '[a.b(text="\\u')
    assert isinstance(ast.parse(call, mode="eval"), ast.Expression)


TREE = {
    "type": "object",
    "properties": {"v": {"type": "boolean"}, "next": {"$ref": "#/$defs/tree"}},
    "required": ["v"],
}
TREE_ROOT = {"properties": {"a": {"$ref": "#/$defs/tree"}}, "$defs": {"tree": TREE}}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "maxLength": 3}, ['""', '"東京\\n"'], ['"abcd"']),
        ({"type": "string", "pattern": "^[a-c]+$"}, ['"abc"'], ['"d"', '""']),
        ({"type": "string", "format": "date"}, ['"2026-01-31"'], ['"today"']),
        ({"type": "string", "minLength": 1}, ['"\\""', '"\\t"'], ['"\\ud83d"', '"\\/"', '""']),
        ({"type": "integer", "minimum": 1, "maximum": 12}, ["1", "12"], ["0", "13", "1.0"]),
        ({"type": "number", "exclusiveMinimum": 0}, ["0.5", "3"], ["0", "-1"]),
        ({"type": ["integer", "null"], "minimum": 5}, ["5", "None"], ["4", "null", '"5"']),
        ({"anyOf": [{"type": "boolean"}, {"type": "integer", "maximum": 3}]},
         ["True", "3"], ["4", "true", '"a"']),
        ({"allOf": [{"type": "null"}]}, ["None"], ["1"]),
        ({"const": {"a": [None, True]}}, ['{"a": [None, True]}'], ['{"a": [None, False]}']),
        ({"type": "string", "enum": ["a", 1]}, ['"a"'], ["1"]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
         ["[True]", "[True, False]"], ["[]", "[True, True, True]", "[1]"]),
        ({"type": "array", "maxItems": 1}, ["[]", '["x"]'], ["[1, 2]"]),
        ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}], "items": False},
         ["[]", "[1]", "[1, None]"], ["[None]", "[1, None, 1]"]),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "null"},
          "minItems": 2, "maxItems": 3}, ["[1, None]", "[1, None, None]"],
         ["[1]", "[1, None, None, None]", "[1, 2]"]),
        ({"type": "object", "additionalProperties": {"type": "integer"}},
         ["{}", '{"a": 1, "b": 2}'], ['{"a": "1"}']),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a": 1}']),
        ({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a", "b"]},
         ['{"a": None, "b": [1]}'], ['{"a": None}']),
        ({"$ref": "#/$defs/tree"}, ['{"v": True, "next": {"v": False}}'],
         ['{"v": True, "next": {"v": 1}}']),
    ],
)  # fmt: skip
def test_a_pythonic_argument_follows_its_schema(
    acceptance: Acceptance, schema: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    parameters = {**TREE_ROOT, "properties": {"a": schema}, "required": ["a"]}
    text = forced_calls([ToolFunction("f", parameters)], None, Markup.PYTHONIC)

    for value in good:
        assert acceptance.takes(text, f"[f(a={value})]"), value
        json_of(value)  # the parser reads what the grammar lets through
    for value in bad:
        assert not acceptance.takes(text, f"[f(a={value})]"), value


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "contains": {}}, "contains"),
        ({"type": "object", "minProperties": 1}, "minProperties"),
        ({"type": "object", "patternProperties": {}}, "patternProperties"),
        ({"not": {}}, "not without a type"),
        ({"minimum": 3}, "minimum without a type"),
        ({"$ref": "#/$defs/missing"}, "leads nowhere"),
        ({"$ref": "http://example.com"}, "into the schema"),
        ({"$ref": "#/properties/a"}, "round in a circle"),
        ({"$ref": "#/$defs/tree", "maxLength": 3}, "maxLength beside"),
        ({"allOf": [{"type": "string"}, {"maxLength": 3}]}, "allOf of several"),
        ({"type": "string", "anyOf": [{"type": "string"}]}, "type beside anyOf"),
        ({"type": "thing"}, "unknown type"),
        ({"type": "string", "enum": [1]}, "no value of its type"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "less than"),
        ({"type": "array", "items": False, "minItems": 1}, "more than it has"),
        (False, "no value"),
    ],
)
def test_what_pythonic_calls_cannot_follow_is_refused_by_name(schema: Any, words: str) -> None:
    tool = ToolFunction("f", {**TREE_ROOT, "properties": {"a": schema}})

    with pytest.raises(RequestError, match=words) as caught:
        forced_calls([tool], None, Markup.PYTHONIC)
    assert caught.value.param == "tools"


@pytest.mark.parametrize(
    ("tools", "choice", "markup", "param"),
    [
        ([], None, Markup.HERMES, "tool_choice"),
        (TOOLS, "missing", Markup.HERMES, "tool_choice"),
        ([ToolFunction("f", {"type": "string"})], None, Markup.HERMES, "tools"),
        ([ToolFunction("no name")], None, Markup.PYTHONIC, "tools"),
        ([ToolFunction("f", {"properties": {"a b": {}}})], None, Markup.PYTHONIC, "tools"),
    ],
)
def test_what_cannot_be_forced_is_refused(
    tools: list[ToolFunction], choice: str | None, markup: Markup, param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        forced_calls(tools, choice, markup)
    assert caught.value.param == param
