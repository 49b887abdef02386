"""Two workers tell the same tokens; the log takes each once and notices what cannot be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.core.errors import InternalError
from baton.core.token_record import FinishReason, TokenLogprobs, TokenRecord
from gateway.serving.token_log import TokenLog

PROMPT = 10


def record(position: int, token: int = 7, choice: int = 0, last: bool = False) -> TokenRecord:
    return TokenRecord(choice, position, token, FinishReason.STOP if last else None)


def test_the_first_copy_counts_and_an_equal_repeat_is_dropped() -> None:
    log = TokenLog(PROMPT, 1)
    assert log.add([record(10)]) == (record(10),)
    assert log.add([record(10), record(11)]) == (record(11),)


def test_it_ends_when_every_choice_has_ended() -> None:
    log = TokenLog(PROMPT, 2)
    log.add([record(10, last=True)])
    assert log.has_ended(0)
    assert not log.has_ended(1)
    assert not log.ended
    log.add([record(10, choice=1, last=True)])
    assert log.ended


@pytest.mark.parametrize(
    "wrong",
    [
        record(10, token=8),
        record(10, last=True),
        record(12),
        record(9),
        record(10, choice=2),
        record(11, choice=1),
    ],
    ids=["other token", "other end", "gap", "in the prompt", "no such choice", "gap in choice 1"],
)
def test_what_cannot_be_is_a_fault(wrong: TokenRecord) -> None:
    log = TokenLog(PROMPT, 2)
    log.add([record(10)])
    with pytest.raises(InternalError):
        log.add([wrong])


def test_a_token_after_the_end_is_a_fault() -> None:
    log = TokenLog(PROMPT, 1)
    log.add([record(10, last=True)])
    with pytest.raises(InternalError):
        log.add([record(11)])


@given(tokens=st.lists(st.integers(0, 9), min_size=1, max_size=20), data=st.data())
def test_any_interleaving_of_two_equal_streams_gives_the_stream_once(
    tokens: list[int], data: st.DataObject
) -> None:
    stream = [record(PROMPT + i, token) for i, token in enumerate(tokens)]
    log, at = TokenLog(PROMPT, 1), [0, 0]
    taken: list[TokenRecord] = []
    while min(at) < len(stream):
        side = data.draw(st.sampled_from([s for s in (0, 1) if at[s] < len(stream)]))
        taken += log.add([stream[at[side]]])
        at[side] += 1
    assert taken == stream


def test_a_repeat_may_lack_its_log_probabilities_but_not_differ_in_them() -> None:
    log = TokenLog(PROMPT, 1)
    scored = replace(record(10), logprobs=TokenLogprobs(-0.5, 1))
    log.add([scored])
    assert log.add([record(10)]) == ()
    with pytest.raises(InternalError):
        log.add([replace(scored, logprobs=TokenLogprobs(-0.25, 1))])
    with pytest.raises(InternalError):
        log.add([record(10, token=8)])


def test_a_section_has_the_choices_under_its_workers_numbers() -> None:
    log = TokenLog(PROMPT, 3)
    log.add([record(10, choice=2)])
    section = log.section([2])
    assert not section.began
    assert section.add([record(10), record(11, 9, last=True)]) == (
        record(11, 9, choice=2, last=True),
    )
    assert section.began
    assert section.ended
    assert log.token_ids(2) == (7, 9)
    assert log.token_ids(0) == ()
    with pytest.raises(InternalError):
        section.add([record(10, choice=1)])


def test_a_section_ends_with_the_choices_that_have_not_left() -> None:
    log = TokenLog(PROMPT, 5)
    section = log.section((4, 2))
    assert (section.number_of(2), section.abandoned) == (1, False)
    section.add([record(10, choice=0), record(10, choice=1)])
    assert section.leave(1) == 2
    assert (section.ended, section.abandoned) == (False, True)
    section.add([record(11, choice=0, last=True)])
    assert section.ended
    assert log.section((2,)).add([record(10), record(11)]) == (record(11, choice=2),)


@pytest.mark.parametrize("number", [1, 2])
def test_a_choice_that_was_not_there_cannot_leave(number: int) -> None:
    section = TokenLog(PROMPT, 2).section((0, 1))
    section.leave(1)
    with pytest.raises(InternalError, match="left, which was not there"):
        section.leave(number)
