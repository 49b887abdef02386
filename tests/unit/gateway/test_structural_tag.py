"""Free text with marked parts in it: which answers such a tag takes."""

import json
from typing import Any

import pytest

from baton.core.errors import RequestError
from gateway.structured.json_schema import JsonOptions
from gateway.structured.structural_tag import structural_tag
from tests.support.acceptance import Acceptance

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
AS_JSON = {"type": "json_schema", "json_schema": POINT}
CALL = {"type": "tag", "begin": "<f>", "content": AS_JSON, "end": "</f>"}
LEGACY = {"structures": [{"begin": "<f=g>", "schema": POINT, "end": "</f>"}], "triggers": ["<f="]}


def text_of(tag: object) -> str:
    return structural_tag(tag, JsonOptions(), {})


def formatted(format: dict[str, Any]) -> str:
    return text_of({"type": "structural_tag", "format": format})


@pytest.mark.parametrize("given", [LEGACY, json.dumps(LEGACY)])
def test_the_older_form_constrains_what_follows_a_trigger(
    acceptance: Acceptance, given: object
) -> None:
    text = text_of(given)

    assert acceptance.takes(text, "just words")
    assert acceptance.takes(text, 'words <f=g>{"x": 1}</f> and <f=g>{"x":2}</f>')
    assert not acceptance.begins(text, "words <f=h")
    assert not acceptance.begins(text, 'words <f=g>{"y"')
    assert not acceptance.takes(text, 'words <f=g>{"x": 1}')


@pytest.mark.parametrize(
    ("format", "good", "bad"),
    [
        ({"type": "const_string", "value": "a\"b"}, 'a"b', "ab"),
        (AS_JSON, '{"x":1}', "{}"),
        ({"type": "regex", "pattern": "[a-c]+/"}, "abc/", "abc"),
        ({"type": "grammar", "grammar": 'root ::= "q"+'}, "qq", ""),
        ({"type": "any_text"}, "any\ntext", None),
        ({"type": "any_text", "excludes": ["<b", "no"]}, "any <a\ntext", "any <b"),
        ({"type": "optional", "content": AS_JSON}, "", "{}"),
        ({"type": "star", "content": {"type": "const_string", "value": "ab"}}, "abab", "aba"),
        ({"type": "plus", "content": {"type": "const_string", "value": "ab"}}, "abab", ""),
        ({"type": "repeat", "min": 1, "max": 2, "content": {"type": "const_string", "value": "ab"}},
         "abab", "ababab"),
        ({"type": "repeat", "min": 2, "max": -1,
          "content": {"type": "const_string", "value": "ab"}}, "abababab", "ab"),
        ({"type": "repeat", "min": 0, "max": 0, "content": {"type": "const_string", "value": "a"}},
         "", "a"),
        ({**CALL, "end": ["</f>", "</g>"]}, '<f>{"x": 1}</g>', '<f>{"x": 1}</h>'),
        ({"type": "tag", "begin": "<t>", "content": {"type": "any_text", "excludes": ["q"]},
          "end": ["</t>", "."]}, "<t>any text.", "<t>aqe."),
        ({"type": "sequence", "elements": [{"type": "const_string", "value": "n: "}, AS_JSON]},
         'n: {"x": 5}', '{"x": 5}'),
        ({"type": "or", "elements": [{"type": "const_string", "value": "no"}, AS_JSON]},
         "no", "yes"),
        (CALL, '<f>{"x": 1}</f>', '<f>{"x": 1}'),
        ({"type": "tag", "begin": "<t>", "content": {"type": "any_text"}, "end": "</t>"},
         "<t>any <b> text</t>", "<t>open"),
        ({"type": "tags_with_separator", "tags": [CALL], "separator": ";"},
         '<f>{"x":1}</f>;<f>{"x":2}</f>', '<f>{"x":1}</f>;'),
        ({"type": "tags_with_separator", "tags": [CALL], "separator": ";", "at_least_one": True},
         '<f>{"x":1}</f>', ""),
        ({"type": "triggered_tags", "triggers": ["<f"], "tags": [CALL], "at_least_one": True},
         'hm <f>{"x":1}</f>', "hm"),
        ({"type": "triggered_tags", "triggers": ["<f"], "tags": [CALL], "excludes": ["bad"]},
         'hm <f>{"x":1}</f> good', 'hm <f>{"x":1}</f> bad'),
        ({"type": "triggered_tags", "triggers": ["<f"], "tags": [CALL], "at_least_one": True,
          "stop_after_first": True}, 'hm <f>{"x":1}</f>', 'hm <f>{"x":1}</f> more'),
    ],
)  # fmt: skip
def test_each_format_takes_what_it_describes(
    acceptance: Acceptance, format: dict[str, Any], good: str, bad: str | None
) -> None:
    text = formatted(format)

    assert acceptance.takes(text, good)
    assert bad is None or not acceptance.takes(text, bad)


WALK = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "unit": {"enum": ["km", "mi"]},
        "via": {"$ref": "#/$defs/places"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["city", "days"],
    "$defs": {
        "places": {"type": "array", "items": {"$ref": "#/$defs/place"}},
        "place": {"type": "string", "maxLength": 3},
    },
}


@pytest.mark.parametrize(
    "format",
    [
        {"type": "qwen_xml_parameter", "json_schema": WALK},
        {"type": "json_schema", "style": "qwen_xml", "json_schema": WALK},
    ],
)
def test_parameters_are_written_as_qwens_xml(
    acceptance: Acceptance, format: dict[str, Any]
) -> None:
    text = formatted({"type": "tag", "begin": "<f>", "content": format, "end": "</f>"})

    def taken(*parameters: tuple[str, str]) -> bool:
        written = "\n".join(f"<parameter={k}>{v}</parameter>" for k, v in parameters)
        return acceptance.takes(text, f"<f>\n{written}\n</f>")

    city, days = ("city", 'a "b" <c>\n'), ("days", "\n5\n")
    assert taken(city, days)
    assert taken(city, days, ("unit", "km"), ("via", '["abc", "d"]'), ("note", "null"))
    assert not taken(days, city)
    assert not taken(city)
    assert not taken(city, ("days", "10"))
    assert not taken(city, ("days", '"5"'))
    assert not taken(city, days, ("unit", '"km"'))
    assert not taken(city, days, ("via", '["abcd"]'))
    assert not taken(city, days, ("other", "1"))


def test_a_grammar_of_its_own_can_stand_beside_other_parts(acceptance: Acceptance) -> None:
    own = {"type": "grammar", "grammar": 'start: "q"+'}
    text = formatted({"type": "sequence", "elements": [AS_JSON, own]})

    assert acceptance.takes(text, '{"x":1}qq')
    assert not acceptance.takes(text, '{"x":1}')


def test_a_mark_that_is_a_special_token_is_that_token(acceptance: Acceptance) -> None:
    tokens = acceptance.tokens
    special = next(i for i in range(10) if tokens.is_special_token(i))
    tag = {**CALL, "begin": "<call>", "end": "."}
    text = structural_tag(
        {"format": {"type": "triggered_tags", "triggers": ["<call>"], "tags": [tag]}},
        JsonOptions(),
        {"<call>": special},
    )

    assert f"<[{special}]>" in text
    assert acceptance.takes(text, "<call>")  # spelled out it is mere text


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ({}, "format"),
        ({"format": {"type": "xml"}}, "no format 'xml'"),
        ({"format": {"type": "or", "elements": []}}, "not be empty"),
        ({"format": {"type": "or"}}, "a list"),
        ({"format": {**CALL, "style": "x"}}, "no 'style'"),
        ({"format": {"type": "const_string", "value": 3}}, "a text"),
        ({"format": {"type": "triggered_tags", "triggers": [], "tags": [CALL]}}, "at least one"),
        ({"format": {"type": "triggered_tags", "triggers": ["<g"], "tags": [CALL]}}, "none of"),
        ({"format": {"type": "triggered_tags", "triggers": ["<f"], "tags": []}}, "at least one"),
        ({"format": {"type": "triggered_tags", "triggers": ["<f"], "tags": [CALL],
                     "at_least_one": "yes"}}, "true or false"),
        ({**LEGACY, "format": {}}, "no 'format'"),
        ({**LEGACY, "structures": [5]}, "each of structures"),
        ({**LEGACY, "triggers": None}, "a list"),
        ("{", "not JSON"),
        ({"format": {"type": "token", "token": 3}}, "no format 'token'"),
        ({"format": {"type": "json_schema", "json_schema": {}, "style": "glm_xml"}}, "style"),
        ({"format": {"type": "any_text", "excludes": [""]}}, "excludes"),
        ({"format": {"type": "optional"}}, "content must be an object"),
        ({"format": {"type": "repeat", "min": 3, "max": 2, "content": CALL}}, "repeat goes"),
        ({"format": {"type": "repeat", "min": True, "max": 2, "content": CALL}}, "an integer"),
        ({"format": {**CALL, "end": []}}, "end must be"),
        ({"format": {"type": "tags_with_separator", "tags": [AS_JSON], "separator": ""}},
         "of type tag"),
        ({"format": {"type": "qwen_xml_parameter", "json_schema": {"type": "array"}}}, "object"),
        ({"format": {"type": "qwen_xml_parameter",
                     "json_schema": {"properties": {"a": {"type": "string", "maxLength": 3}}}}},
         "held to maxLength"),
        ({"format": {"type": "qwen_xml_parameter",
                     "json_schema": {"properties": {"a": {"$ref": "#/$defs/a"}}}}}, "nowhere"),
        ({"format": {"type": "qwen_xml_parameter",
                     "json_schema": {"properties": {"a>": {}}}}}, "no parameter"),
    ],
)  # fmt: skip
def test_what_is_no_structural_tag_is_refused(tag: object, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        text_of(tag)


def test_a_tag_in_itself_a_thousand_times_is_refused() -> None:
    format: dict[str, Any] = {"type": "any_text"}
    for _ in range(2000):
        format = {"type": "or", "elements": [format]}

    with pytest.raises(RequestError, match="nested too deeply"):
        formatted(format)
