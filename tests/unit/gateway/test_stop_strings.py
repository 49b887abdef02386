"""A stop string ends the answer, wherever tokens begin and end."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.core.token_record import FinishReason, TokenRecord
from gateway.output import OutputPlan
from gateway.output.stop_strings import StopStrings
from gateway.prompts.vocabulary import Vocabulary
from tests.support.gateway_output import (
    EOS,
    MARKS,
    OTHER_EOS,
    answer,
    ended,
    output,
    records,
    streamed,
)

WORDS = Vocabulary((b"Hello ", b"ST", b"OP", b" more", b"xSTOPy"))


def of_words(ids: list[int], plan: OutputPlan, **params: Any) -> list[tuple[str, object, int]]:
    machine = output(plan, WORDS, **params)
    deltas = streamed(machine, records(ids))
    return [(d.text, d.stop_reason, len(d.token_ids)) for d in deltas]


def test_a_stop_string_across_tokens_ends_the_answer_before_it() -> None:
    assert of_words([0, 1, 2, 3], OutputPlan(stop=("STOP",))) == [
        ("Hello ", None, 1),
        ("", None, 1),
        ("", "STOP", 1),
    ]


def test_a_stop_string_inside_a_token_cuts_the_text_and_keeps_the_token() -> None:
    assert of_words([0, 4, 3], OutputPlan(stop=("STOP",))) == [
        ("Hello ", None, 1),
        ("x", "STOP", 1),
    ]
    included = of_words([0, 4, 3], OutputPlan(stop=("STOP",), include_stop=True))
    assert included[-1] == ("xSTOP", "STOP", 1)


@pytest.mark.parametrize(
    ("stop", "text"), [(("TOP", "STOP"), "Hello S"), (("STOP", "TOP"), "Hello ")]
)
def test_the_order_of_the_list_decides_between_strings_found_together(
    stop: tuple[str, ...], text: str
) -> None:
    got = of_words([0, 1, 2], OutputPlan(stop=stop))
    assert "".join(delta[0] for delta in got) == text
    assert got[-1][1] == stop[0]


def test_only_what_may_become_a_stop_string_is_withheld() -> None:
    stops = StopStrings(["END of it all"], include=False)
    assert stops.push("say E") == ("say ", None)
    assert stops.push("N") == ("", None)
    assert stops.push("Q") == ("ENQ", None)
    assert stops.push("EN") == ("", None)
    assert stops.end() == "EN"


def test_with_the_stop_string_included_nothing_is_withheld() -> None:
    stops = StopStrings(["END"], include=True)
    assert [stops.push("E"), stops.push("ND!")] == [("E", None), ("ND", "END")]


def test_what_was_withheld_comes_at_the_end() -> None:
    assert answer(OutputPlan(stop=("abc",)), records(list(b"xab"))).text == "xab"


def test_a_match_beats_the_length_limit() -> None:
    got = answer(OutputPlan(stop=("b",)), records(list(b"ab")))
    assert (got.text, got.finish_reason, got.stop_reason) == ("a", "stop", "b")


def test_tokens_after_the_match_are_dropped_even_in_the_same_step() -> None:
    machine = output(OutputPlan(stop=("b",)))
    (delta,) = machine.push(records(list(b"abcd")))
    assert (delta.text, delta.token_ids) == ("a", (97, 98))
    assert machine.ended
    assert machine.push(records(list(b"e"))) == []


def test_the_first_tokens_are_not_searched_but_a_match_may_begin_in_them() -> None:
    plan = OutputPlan(stop=("ab",))
    assert answer(plan, records(list(b"ababx")), min_tokens=2).text == "ab"
    assert answer(plan, records(list(b"abxab")), min_tokens=2).text == "abx"
    assert answer(plan, records(list(b"xab")), min_tokens=2).text == "x"
    assert answer(plan, records(list(b"abx")), min_tokens=3).text == "abx"


def test_a_stop_string_as_the_very_first_token() -> None:
    got = answer(OutputPlan(stop=("a",)), records(list(b"ab")))
    assert (got.text, got.token_ids, got.finish_reason) == ("", [97], "stop")


def test_stop_tokens_have_a_reason_unless_they_end_the_sequence() -> None:
    def reason(token: int, **params: Any) -> object:
        batch = records([97, token], finish=FinishReason.STOP)
        return answer(OutputPlan(primary_eos=EOS), batch, **params).stop_reason

    assert reason(EOS) is None
    assert reason(OTHER_EOS) == OTHER_EOS
    assert reason(98, stop_token_ids=(98,)) == 98
    assert reason(EOS, stop_token_ids=(EOS,), ignore_eos=True) == EOS
    assert answer(OutputPlan(), records([97, EOS], finish=FinishReason.STOP)).stop_reason is None
    assert answer(OutputPlan(), records([97])).stop_reason is None


def test_special_tokens_show_when_asked_for_but_not_the_one_that_ends() -> None:
    batch = ended("a" + MARKS[0])
    assert answer(OutputPlan(), batch).text == "a"
    assert answer(OutputPlan(skip_special=False), batch).text == "a" + MARKS[0]
    shown = OutputPlan(skip_special=False, include_stop=True)
    assert answer(shown, batch).text == f"a{MARKS[0]}<eos>"
    assert answer(OutputPlan(include_stop=True), batch).text == "a"


def reference(
    pieces: list[str], stops: list[str], include: bool, min_tokens: int
) -> tuple[str, str | None]:
    """Written from the contract, as slowly as can be."""
    text = ""
    for count, piece in enumerate(pieces, start=1):
        text, fresh = text + piece, len(piece)
        if count <= min_tokens or not fresh:
            continue
        for stop in stops:
            start = text.find(stop, max(0, len(text) - fresh - len(stop) + 1))
            if start >= 0:
                return text[: start + len(stop) * include], stop
    return text, None


@given(
    pieces=st.lists(st.text("ab", max_size=4), max_size=12),
    stops=st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=3, unique=True),
    include=st.booleans(),
    min_tokens=st.integers(0, 5),
)
def test_the_automata_find_what_a_plain_search_finds(
    pieces: list[str], stops: list[str], include: bool, min_tokens: int
) -> None:
    machine, text, found = StopStrings(stops, include), "", None
    for count, piece in enumerate(pieces, start=1):
        certain, found = machine.push(piece, armed=count > min_tokens)
        text += certain
        if found is not None:
            break
    if found is None:
        text += machine.end()
    assert (text, found) == reference(pieces, stops, include, min_tokens)


def test_each_choice_stops_by_itself() -> None:
    machine = output(OutputPlan(stop=("b",)), n=2)
    first = [TokenRecord(0, 5, 98), TokenRecord(1, 5, 97)]
    assert [delta.finish_reason for delta in machine.push(first)] == ["stop", None]
    assert not machine.ended
    second = [TokenRecord(0, 6, 99), TokenRecord(1, 6, 98)]
    (delta,) = machine.push(second)
    assert (delta.choice, delta.finish_reason) == (1, "stop")
    assert machine.ended
