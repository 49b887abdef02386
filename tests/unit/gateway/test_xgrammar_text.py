"""Constraints in xgrammar's form: what is refused by name, and what the library makes of the rest."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import RequestError
from baton.grammars.xgrammar_compiler import XgrammarCompiler
from gateway.schema.structured_fields import StructuredFields
from gateway.structured.config import StructuredConfig
from gateway.structured.constraint import constraint_of
from gateway.structured.json_schema import JsonOptions
from gateway.structured.tool_calls import Markup
from gateway.structured.xgrammar_schema import for_xgrammar
from gateway.structured.xgrammar_tag import xgrammar_tag
from gateway.structured.xgrammar_text import constraint_text, forced_calls_text
from gateway.tool_use import ToolFunction
from tests.support.xgrammar_extra import XgrammarAcceptance, needs_xgrammar, quiet

SIZE = 512
POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
AS_JSON = {"type": "json_schema", "json_schema": POINT}
CALL = {"type": "tag", "begin": "<f>", "content": AS_JSON, "end": "</f>"}
TOOLS = [ToolFunction("f", POINT), ToolFunction("now")]


def text_of(specials: dict[str, int] | None = None, **fields: Any) -> str:
    constraint = constraint_of(StructuredFields(**fields), StructuredConfig())
    assert constraint is not None
    return constraint_text(constraint, specials or {})


def outputs(**fields: Any) -> str:
    return text_of(structured_outputs=fields)


@pytest.fixture(scope="module")
def taken(tokenizer_folder: Path) -> XgrammarAcceptance:
    compiler = XgrammarCompiler(tokenizer_folder, SIZE, (2,), logging.getLogger())
    return XgrammarAcceptance(compiler, tokenizer_folder, SIZE)


def test_a_schema_that_says_nothing_of_other_properties_is_open() -> None:
    schema = for_xgrammar({"type": "array", "items": POINT}, JsonOptions())
    shut = for_xgrammar(POINT, JsonOptions(disable_additional_properties=True))

    assert schema["items"]["additionalProperties"] is True
    assert shut["additionalProperties"] is False


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "contains": {}}, "contains"),
        ({"not": {"type": "string"}}, "not"),
        ({"if": {"type": "string"}}, "if"),
        ({"type": "object", "dependentRequired": {}}, "dependentRequired"),
        ({"type": "string", "format": "colour"}, "the format 'colour'"),
        ({"type": "string", "pattern": "a", "maxLength": 3}, "maxLength beside pattern"),
        ({"type": "integer", "multipleOf": 3, "minimum": 1}, "minimum beside multipleOf"),
        ({"type": "number", "multipleOf": 0.5}, "multipleOf"),
        ({**POINT, "minProperties": 2}, "beside minProperties"),
        ({"allOf": [{"type": "string"}, {"minLength": 3}]}, "allOf"),
        ({"type": "string", "anyOf": [{"type": "string"}]}, "type beside anyOf"),
        ({"$ref": "#/$defs/a", "maxLength": 1, "$defs": {"a": {}}}, "maxLength beside"),
        ({"$ref": "http://example.com/s"}, "the reference"),
        ({"type": "string", "enum": ["a", 1]}, "type beside enum"),
        ({"minLength": 3}, "minLength without its type"),
        ({"type": "object", "required": ["a"]}, "required 'a'"),
        ({"type": "thing"}, "unknown type"),
        ({"type": "object", "properties": {"deep": {"type": "array", "uniqueItems": True}}},
         "uniqueItems"),
        ({"type": "object", "properties": []}, "properties must be"),
        ({"anyOf": []}, "anyOf must be"),
    ],
)  # fmt: skip
def test_what_the_library_would_pass_over_is_refused(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        for_xgrammar(schema, JsonOptions())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"grammar": 'start: "a"'}, "not Lark"),
        ({"grammar": " "}, "empty"),
        ({"regex": ""}, "empty"),
        ({"choice": []}, "at least one"),
        ({"json": POINT, "whitespace_pattern": " "}, "whitespace_pattern"),
        ({"structural_tag": {"format": AS_JSON}, "disable_any_whitespace": True},
         "disable_any_whitespace"),
        ({"structural_tag": {"format": {"type": "grammar", "grammar": 'start: "a"'}}}, "not Lark"),
        ({"structural_tag": {"format": {"type": "dispatch"}}}, "no format"),
        ({"structural_tag": {"format": {**CALL, "begin": "a<s>"}}}, "mix the special token"),
    ],
)  # fmt: skip
def test_what_it_has_no_form_for_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        text_of({"<s>": 1}, structured_outputs=fields)


def test_pythonic_calls_are_refused() -> None:
    with pytest.raises(RequestError) as caught:
        forced_calls_text(TOOLS, None, Markup.PYTHONIC, True, {})
    assert caught.value.param == "tool_choice"


def test_special_tokens_are_triggers_by_their_ids() -> None:
    tag = {**CALL, "begin": "<s>"}
    format = {"type": "triggered_tags", "triggers": ["<s>"], "tags": [tag]}
    made = xgrammar_tag({"format": format}, JsonOptions(), {"<s>": 7})

    assert made["format"]["type"] == "token_triggered_tags"
    assert made["format"]["trigger_tokens"] == [7]
    assert made["format"]["tags"][0]["begin"] == {"type": "token", "token": 7}


@needs_xgrammar
@quiet
@pytest.mark.parametrize(
    ("fields", "good", "bad"),
    [
        ({"json": POINT}, '{"x": 1, "more": [1]}', '{"x": "1"}'),
        ({"json": POINT, "disable_any_whitespace": True}, '{"x": 1}', '{"x":  1}'),
        ({"json": POINT, "disable_additional_properties": True}, '{"x": 1}', '{"x": 1, "y": 2}'),
        ({"json_object": True}, '{"a": {"b": [null]}}', "[1]"),
        ({"regex": "[a-c]+/"}, "abc/", "abc"),
        ({"choice": ['a"b', "東京"]}, "東京", "ab"),
        ({"grammar": 'root ::= "q"+ [0-9]'}, "qq1", "qq"),
        ({"structural_tag": {"format": {"type": "triggered_tags", "triggers": ["<f"],
                                        "tags": [CALL]}}},
         'hm <f>{"x": 1}</f> hm', "hm <f>{]"),
        ({"structural_tag": {"structures": [{"begin": "<f=g>", "schema": POINT, "end": "</f>"}],
                             "triggers": ["<f="]}}, 'a <f=g>{"x": 1}</f>', "a <f=h"),
        ({"structural_tag": {"format": {"type": "qwen_xml_parameter", "json_schema": POINT}}},
         "<parameter=x>1</parameter>", "<parameter=x>a</parameter>"),
        ({"structural_tag": {"format": {"type": "repeat", "min": 1, "max": 2,
                                        "content": {"type": "const_string", "value": "ab"}}}},
         "abab", "ababab"),
        ({"structural_tag": {"format": {"type": "tags_with_separator", "tags": [CALL],
                                        "separator": ";"}}},
         '<f>{"x": 1}</f>;<f>{"x": 2}</f>', '<f>{"x": 1}</f>;'),
        ({"structural_tag": {"format": {"type": "any_text", "excludes": ["no"]}}}, "yes", "or no"),
    ],
)  # fmt: skip
def test_each_form_takes_what_it_describes(
    taken: XgrammarAcceptance, fields: dict[str, Any], good: str, bad: str
) -> None:
    text = outputs(**fields)

    assert taken.takes(text, good)
    assert not taken.takes(text, bad)


@needs_xgrammar
@quiet
@pytest.mark.parametrize(
    ("markup", "call"),
    [
        (Markup.HERMES, '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'),
        (Markup.LLAMA3_JSON, '{"name": "f", "parameters": {"x": 1}}'),
        (Markup.MISTRAL, '[TOOL_CALLS] [{"name": "f", "arguments": {"x": 1}}]'),
    ],
)
def test_forced_calls_follow_the_parameters(
    taken: XgrammarAcceptance, markup: Markup, call: str
) -> None:
    text = forced_calls_text(TOOLS, None, markup, True, {})
    named = forced_calls_text(TOOLS, "now", markup, True, {})

    assert taken.takes(text, call)
    assert not taken.begins(text, call.replace('"x": 1', '"x": "1"'))
    assert not taken.takes(text, "hello")
    assert not taken.begins(named, call)


@needs_xgrammar
@quiet
def test_a_special_token_is_no_text_and_its_text_no_special_token(
    taken: XgrammarAcceptance,
) -> None:
    free = outputs(structural_tag={"format": {"type": "any_text"}})
    tag = {"format": {"type": "const_string", "value": "a<|im_start|>"}}
    marked = text_of({"<|im_start|>": 1}, structured_outputs={"structural_tag": tag})

    assert taken.takes_tokens(marked, [*taken.ids("a"), 1])
    assert not taken.takes(marked, "a<|im_start|>")
    assert taken.takes(free, "a<|im_start|>")
    assert not taken.takes_tokens(free, [*taken.ids("a"), 1])


@needs_xgrammar
@quiet
@pytest.mark.parametrize(
    "form",
    [
        {"regex": "("},
        {"regex": "(?=a)b"},
        {"ebnf": "root ::= nothing"},
        {"json_schema": {"$ref": "#/$defs/a"}, "any_whitespace": True},
        {"structural_tag": {"type": "structural_tag", "format": {"type": "magic"}}},
        {"other": 1},
    ],
)
def test_what_is_wrong_is_told_in_the_librarys_words(
    tokenizer_folder: Path, form: dict[str, Any]
) -> None:
    compiler = XgrammarCompiler(tokenizer_folder, SIZE, (), logging.getLogger())

    with pytest.raises(RequestError) as caught:
        compiler.compiled(json.dumps(form))
    assert ".cc" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.skipif(
    needs_xgrammar.args[0] is False, reason="xgrammar is installed: nothing is missing"
)
def test_without_the_extra_the_request_is_told_so(tokenizer_folder: Path) -> None:
    with pytest.raises(RequestError, match=r"baton-serving\[xgrammar\]"):
        XgrammarCompiler(tokenizer_folder, SIZE, (), logging.getLogger())
