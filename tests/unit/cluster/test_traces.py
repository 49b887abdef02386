"""Traces that are made up, scaled and cut, and the tokens of their prompts."""

from collections import Counter
from itertools import pairwise

import pytest

from baton.cluster.traces import Piece, Trace, TraceRequest, load_trace
from baton.cluster.traces.content import Content
from baton.core.errors import SettingsError


def test_equal_seeds_make_equal_traces() -> None:
    spec = "bursts:rate=3,seconds=30,spread=0.5"
    assert load_trace(spec, 1) == load_trace(spec, 1)
    assert load_trace(spec, 1) != load_trace(spec, 2)


def test_poisson_comes_at_its_rate_and_in_order() -> None:
    trace = load_trace("poisson:rate=10,in=7,out=3,seconds=100", 1)
    assert 900 < len(trace.requests) < 1100  # three standard deviations
    times = [one.at for one in trace.requests]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 100
    assert {(one.input_tokens, one.output_tokens) for one in trace.requests} == {(7, 3)}


def test_spread_keeps_the_mean() -> None:
    trace = load_trace("poisson:rate=100,in=1000,spread=1,seconds=100", 1)
    lengths = [one.input_tokens for one in trace.requests]
    assert len(set(lengths)) > 100
    assert sum(lengths) / len(lengths) == pytest.approx(1000, rel=0.1)


def test_a_burst_is_its_peak_above_the_rest() -> None:
    trace = load_trace("bursts:rate=10,peak=5,every=10,lasting=2,seconds=200", 1)
    inside = sum(one.at % 10 >= 8 for one in trace.requests)
    outside = len(trace.requests) - inside
    assert inside / 40 == pytest.approx(50, rel=0.1)
    assert outside / 160 == pytest.approx(10, rel=0.1)


def test_popular_prefixes_are_shared() -> None:
    trace = load_trace("shared-prefix:rate=20,prefixes=4,prefix=100,in=5,seconds=50,skew=2", 1)
    used = Counter(one.pieces[0] for one in trace.requests)
    assert set(used) == {Piece(number, 100) for number in range(4)}
    assert used[Piece(0, 100)] > 2 * used[Piece(1, 100)]
    own = [one.pieces[1].content for one in trace.requests]
    assert len(set(own)) == len(own)


def test_a_turn_begins_with_all_that_was_said() -> None:
    trace = load_trace("multi-turn:rate=1,turns=3,in=5,out=4,system=10,seconds=5", 1)
    session = [one for one in trace.requests if one.session == 0]
    assert [one.input_tokens for one in session] == [15, 24, 33]
    for before, after in pairwise(session):
        assert after.pieces[: len(before.pieces)] == before.pieces
        assert before.at < after.at


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("poisson:rat=1", "it knows rate=2, seconds=60, in=512, out=64, spread=0"),
        ("poisson:rate", "does not know 'rate'"),
        ("poisson:rate=fast", "rate must be a number, not 'fast'"),
        ("poisson:rate=0", "must be a number, greater than 0"),
        ("poisson:in=0", "must be a whole number, 1 or more"),
        ("poisson:in=1.5", "must be a whole number"),
        ("poisson:rate=inf", "must be a number"),
        ("poisson:rate=nan", "must be a number"),
        ("poisson:rate=0.001,seconds=1", "makes no request at all"),
        ("poisson:rate=1e9,seconds=1e9", "makes more than 10,000,000 requests"),
        ("bursts:rate=1e5,peak=10,seconds=11", "makes more than 10,000,000 requests"),
        ("multi-turn:rate=1e5,turns=10,seconds=11", "makes more than 10,000,000 requests"),
    ],
)
def test_what_is_wrong_is_told(spec: str, told: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_trace(spec, 1)
    assert told in str(error.value)


def test_scaled_prompts_share_as_much_as_before() -> None:
    one = TraceRequest(10.0, (Piece(1, 512), Piece(2, 512), Piece(3, 1)), 100)
    other = TraceRequest(10.0, (Piece(1, 512), Piece(2, 300)), 100)
    scaled, beside = one.scaled(2, 0.1), other.scaled(2, 0.1)
    assert (scaled.at, scaled.output_tokens) == (5.0, 10)
    assert scaled.pieces == (Piece(1, 51), Piece(2, 51))  # 102.4 and the rest of the third are none
    assert beside.pieces == (Piece(1, 51), Piece(2, 30))


def test_however_small_something_is_left() -> None:
    one = TraceRequest(0.0, (Piece(1, 5), Piece(2, 5)), 3).scaled(1, 0.001)
    assert (one.pieces, one.output_tokens) == ((Piece(1, 1),), 1)


def test_a_part_of_a_trace_begins_at_nought() -> None:
    trace = Trace("t", tuple(TraceRequest(float(at), (Piece(at, 1),), 1) for at in range(10)))
    assert [one.at for one in trace.between(3, 6).requests] == [0, 1, 2]
    assert len(trace.first(4).requests) == 4
    assert len(trace.first(seconds=3).requests) == 3


def test_equal_pieces_are_equal_tokens_however_long() -> None:
    content = Content(range(100, 200), seed=1)
    whole = content.prompt([Piece(1, 50), Piece(2, 9)])
    assert len(whole) == 59
    assert content.prompt([Piece(1, 20)]) == whole[:20]
    assert content.prompt([Piece(2, 9)]) == whole[50:]
    assert content.prompt([Piece(3, 20)]) != whole[:20]
    assert Content(range(100, 200), seed=2).prompt([Piece(1, 20)]) != whole[:20]
    assert all(100 <= token < 200 for token in whole)
