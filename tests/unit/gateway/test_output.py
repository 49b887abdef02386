"""Tokens to text: a stream and a whole answer are the same function."""

from hypothesis import given
from hypothesis import strategies as st

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from gateway.output import Delta, Output, OutputPlan, fold
from tests.support.gateway_output import BYTES


def make(choices: int) -> Output:
    return Output(BYTES, (), SamplingParams(max_tokens=99, seed=0, n=choices), OutputPlan())


def records(
    text: bytes, choice: int = 0, finish: FinishReason | None = FinishReason.LENGTH
) -> list[TokenRecord]:
    last = len(text) - 1
    return [
        TokenRecord(choice, 5 + i, token, finish if i == last else None)
        for i, token in enumerate(text)
    ]


def test_a_step_gives_one_delta_per_choice() -> None:
    output = make(2)
    batch = [*records(b"ab", 0, None), *records(b"c", 1)]
    assert output.push(batch) == [Delta(0, "ab", (97, 98)), Delta(1, "c", (99,), "length")]


def test_the_stop_token_counts_but_has_no_text() -> None:
    (delta,) = make(1).push(records(b"ab", 0, FinishReason.STOP))
    assert (delta.text, delta.token_ids, delta.finish_reason) == ("a", (97, 98), "stop")


def test_the_last_token_of_a_cut_answer_has_text() -> None:
    (delta,) = make(1).push(records(b"ab"))
    assert (delta.text, delta.finish_reason) == ("ab", "length")


def test_choices_do_not_share_half_characters() -> None:
    output = make(2)
    first, second = "é".encode(), "ü".encode()
    half = [*records(first[:1], 0, None), *records(second[:1], 1, None)]
    assert [delta.text for delta in output.push(half)] == ["", ""]
    rest = [*records(second[1:], 1), *records(first[1:], 0)]
    assert [delta.text for delta in output.push(rest)] == ["ü", "é"]


@given(
    text=st.binary(min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40)),
    stop=st.booleans(),
)
def test_the_folded_deltas_of_any_stream_are_the_whole_answer(
    text: bytes, cuts: list[int], stop: bool
) -> None:
    all_records = records(text, 0, FinishReason.STOP if stop else FinishReason.LENGTH)
    streamed, output, start = [], make(1), 0
    for cut in [*sorted(min(cut, len(text)) for cut in cuts), len(text)]:
        streamed += output.push(all_records[start:cut])
        start = cut
    whole = make(1).push(all_records)
    assert fold(streamed, 1) == fold(whole, 1)
