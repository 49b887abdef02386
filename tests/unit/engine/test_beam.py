"""The search by itself: against a slow one that keeps everything, and rule by rule."""

import random
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from baton.core.sampling_params import BeamSearch, SamplingParams
from baton.core.token_record import FinishReason, TokenLogprobs
from baton.engine.plan import Drawn
from baton.engine.scheduling.beam import (
    Beam,
    Rules,
    Search,
    advance,
    answers,
    is_over,
    records,
    score,
)
from tests.support.beam_answer import Tokens, beam_search

EOS = 3


def rules(width: int = 2, **changes: Any) -> Rules:
    known: dict[str, Any] = {
        "width": width,
        "prompt_len": 4,
        "max_len": 10,
        "length_penalty": 1.0,
        "stops": frozenset({EOS}),
        "eos": frozenset({EOS}),
    }
    return Rules(**{**known, **changes})


def drawn(*candidates: tuple[int, float]) -> Drawn:
    return Drawn(candidates[0][0], None, candidates)


@given(
    seed=st.integers(0, 10_000),
    width=st.integers(1, 4),
    length=st.integers(1, 8),
    penalty=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),
    ignore_eos=st.booleans(),
    stop_ids=st.sampled_from([(), (5,), (5, 6)]),
    grain=st.sampled_from([2, 16, 1000]),
)
@example(0, 4, 6, -1.0, True, (5,), 1000)  # a live beam ends in an EOS that counts for nothing
def test_it_finds_what_a_search_to_the_last_token_finds(
    seed: int,
    width: int,
    length: int,
    penalty: float,
    ignore_eos: bool,
    stop_ids: tuple[int, ...],
    grain: int,
) -> None:
    """A small grain makes many hypotheses equal; sums are exact."""
    prompt = (1, 2, 3, 4)

    def propose(tokens: Tokens) -> list[tuple[int, float]]:
        draw = random.Random(f"{seed}/{tokens}")
        found = [(t, -draw.randrange(grain) / 1024) for t in draw.sample(range(12), 2 * width)]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    params = SamplingParams(
        max_tokens=length,
        seed=0,
        n=width,
        ignore_eos=ignore_eos,
        stop_token_ids=stop_ids,
        beam=BeamSearch(penalty),
    )
    stops = frozenset(stop_ids) | (frozenset() if ignore_eos else {EOS})
    search = Search(
        rules(width, max_len=4 + length, length_penalty=penalty, stops=frozenset(stops))
    )
    while not is_over(search):
        found = [drawn(*propose((*prompt, *beam.tokens))) for beam in search.live]
        step = advance(search, found)
        for parent, beam in zip(step.parents, step.search.live, strict=True):
            assert search.live[parent].tokens == beam.tokens[:-1]
        search = step.search
    slow = beam_search(propose, prompt, params, frozenset({EOS}), 4 + length)
    assert [(b.tokens, b.total, b.reason) for b in answers(search)] == [
        (one.tokens, one.total, one.reason) for one in slow.best
    ]


def test_a_beam_that_ends_makes_room_for_the_next_best() -> None:
    step = advance(Search(rules()), [drawn((EOS, -0.1), (7, -0.2), (8, -0.3), (9, -0.4))])
    assert [beam.tokens for beam in step.search.live] == [(7,), (8,)]
    assert step.search.ended == (Beam((EOS,), -0.1, (), FinishReason.STOP),)
    assert step.parents == (0, 0)


def test_equal_beams_are_ordered_by_their_tokens_not_by_their_place() -> None:
    live = (Beam((9,), -0.5), Beam((2,), -0.5))
    found = [drawn((1, -0.5), (6, -0.5)), drawn((6, -0.5), (7, -0.5))]
    step = advance(Search(rules(), live), found)
    assert [beam.tokens for beam in step.search.live] == [(2, 6), (2, 7)]


def test_the_length_counts_the_prompt_and_no_final_end() -> None:
    assert score(rules(length_penalty=1.0), Beam((5, 6), -6.0)) == -1.0
    assert score(rules(length_penalty=1.0), Beam((5, EOS), -5.0)) == -1.0
    assert score(rules(length_penalty=0.0), Beam((5, 6), -6.0)) == -6.0
    assert score(rules(length_penalty=2.0), Beam((5, 6), -36.0)) == -1.0


def test_it_ends_early_only_when_no_beam_can_come_among_the_best() -> None:
    ended = (Beam((EOS,), -1.0), Beam((5, EOS), -2.0))  # scores -1/4 and -2/5
    late = Search(rules(max_len=8), (Beam((6, 6), -3.3),), ended)
    assert is_over(late), "-3.3/8 is worse than -2/5"
    hopeful = Search(rules(max_len=8), (Beam((6, 6), -3.1),), ended)
    assert not is_over(hopeful)
    assert not is_over(Search(rules(max_len=8), (Beam((6, 6), -3.3),), ended[:1]))


def test_it_ends_when_every_beam_has() -> None:
    everything = rules(stops=frozenset(range(20)))
    step = advance(Search(everything), [drawn((7, -0.2), (8, -0.3), (9, -0.4), (1, -0.5))])
    assert is_over(step.search)
    assert [beam.tokens for beam in answers(step.search)] == [(7,), (8,)]


def test_each_answer_is_told_whole_with_its_reason_and_log_probabilities() -> None:
    told = TokenLogprobs(-0.5, 1, ((7, -0.5), (EOS, -1.0), (8, -1.5), (9, -2.0)))
    found = [Drawn(7, told, ((7, -0.2), (EOS, -0.3), (8, -0.4), (9, -0.6)))]
    step = advance(Search(rules(max_len=5, alternatives=1)), found)
    assert is_over(step.search)
    first, second = records(step.search)
    assert (first.choice, first.position, first.token_id) == (0, 4, 7)
    assert first.finish_reason is FinishReason.LENGTH
    assert first.logprobs == TokenLogprobs(-0.5, 1, ((7, -0.5),))
    assert (second.choice, second.position, second.token_id) == (1, 4, EOS)
    assert second.finish_reason is FinishReason.STOP
    assert second.logprobs == TokenLogprobs(-1.0, 2, ((7, -0.5),))
