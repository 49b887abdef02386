"""Grammars are tried before a worker hears of them, and hostile ones hurt nobody."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from baton.core.errors import RequestError
from gateway.structured.checking import LONGEST, GrammarChecker
from gateway.structured.json_schema import JsonOptions, json_grammar
from gateway.structured.text_grammars import regex_grammar

SIZE = 512


@pytest.fixture
def checker(tokenizer_folder: Path) -> GrammarChecker:
    return GrammarChecker(tokenizer_folder, SIZE, {"<|im_end|>": 2})


async def refusal(checker: GrammarChecker, text: str | Callable[[], str]) -> RequestError:
    made = text if callable(text) else lambda: text
    with pytest.raises(RequestError) as caught:
        await checker.checked(lambda specials: made(), "structured_outputs")
    assert caught.value.param == "structured_outputs"
    return caught.value


def json_of(schema: dict[str, object]) -> str:
    return json_grammar(schema, JsonOptions())


async def test_a_good_grammar_comes_back_and_is_told_the_special_tokens(
    checker: GrammarChecker,
) -> None:
    text = await checker.checked(lambda specials: f"start: <[{specials['<|im_end|>']}]>", "p")

    assert text == "start: <[2]>"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start: nothing", "unknown name"),
        ("start: (", "cannot be used"),
        (r"start: /(?=a)b/", "look"),
        (r"start: /\bx/", "look"),
        ("start: A\nA: /a/ & /b/", "no text satisfies it"),
        (json_of({"type": "thing"}), "Invalid type"),
        (json_of({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (json_of({"type": "string", "format": "colour"}), "Unknown format"),
        (json_of({"$ref": "#/$defs/missing"}), "does not exist"),
        (json_of({"$ref": "http://example.com/schema"}), "cannot be used"),
        (json_of({"enum": []}), "Unsatisfiable"),
        (json_of({"type": "string", "pattern": "("}), "unclosed group"),
        ('start: "\ud800"', "cannot be used"),
    ],
)
async def test_a_bad_grammar_is_refused_in_the_librarys_words(
    checker: GrammarChecker, text: str, words: str
) -> None:
    for _ in range(2):  # the second time from memory
        error = await refusal(checker, text)
        assert words in str(error)
        assert "<state>" not in str(error)
        assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "thing"}, "Invalid type: thing"),
        (
            {"type": "string", "pattern": "("},
            "regex parse error:\n    (\n    ^\nerror: unclosed group",
        ),
    ],
)
async def test_a_bad_schema_is_refused_without_the_grammar_that_it_was_put_into(
    checker: GrammarChecker, schema: dict[str, object], words: str
) -> None:
    error = await refusal(checker, json_of(schema))
    said = "the grammar cannot be used: failed to compile JSON schema: "
    assert str(error) == said + words


@pytest.mark.parametrize(
    "text",
    [
        'start: "' + "x" * LONGEST + '"',
        "start: " + "(" * 5000 + '"a"' + ")" * 5000,
        regex_grammar("(" * 5000 + "a" + ")" * 5000),
        json_of(
            {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(9000)}}
        ),
        "start: " + " | ".join(f'"{number}x"' for number in range(60_000)),
        json_of({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
        json_of(
            {
                "allOf": [
                    {"anyOf": [{"properties": {f"{k}{i}": {}}} for k in "pq"]} for i in range(16)
                ]
            }
        ),
    ],
    ids=["long", "nested", "nested regex", "wide", "many", "circular", "product"],
)
async def test_hostile_grammars_are_refused_in_time(checker: GrammarChecker, text: str) -> None:
    async with asyncio.timeout(30):
        await refusal(checker, text)


@pytest.mark.parametrize(
    "pattern",
    ["a{1000000}", "(a{1000}){1000}", "(x+x+)+y", "(a|b)*a(a|b){300}", ".{0,100000}x.{0,100000}"],
)
async def test_patterns_that_explode_elsewhere_are_harmless(
    checker: GrammarChecker, pattern: str
) -> None:
    async with asyncio.timeout(30):
        await checker.checked(lambda specials: regex_grammar(pattern), "structured_outputs")


async def test_half_a_surrogate_pair_is_refused(checker: GrammarChecker) -> None:
    assert "surrogate" in str(await refusal(checker, lambda: regex_grammar("\ud800")))


async def test_nobody_waits_for_ever_and_others_are_served(tokenizer_folder: Path) -> None:
    checker = GrammarChecker(tokenizer_folder, SIZE, {}, seconds=0.05)
    let_go = threading.Event()

    def never_done() -> str:
        let_go.wait(30)
        return 'start: "a"'

    try:
        error = await refusal(checker, never_done)
        assert "too long" in str(error)
    finally:
        let_go.set()


async def test_a_tokenizer_that_is_not_there_is_told(tmp_path: Path) -> None:
    checker = GrammarChecker(tmp_path, SIZE, {})

    with pytest.raises(RequestError, match="structured output"):
        await checker.checked(lambda specials: 'start: "a"', "p")
