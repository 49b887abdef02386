"""Priorities in the scheduler: who goes first, who gives way to whom, and that nobody starves."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.core.aging import OLDEST_EVERY
from baton.core.sampling_params import BeamSearch, SamplingParams
from baton.engine.plan import StepPlan
from baton.engine.work import Work, WorkDone
from tests.support.engine_bench import Bench, assert_answers, bench, lent
from tests.support.engine_works import generate, prefill, prompt_of, sampled


def at(priority: int, work: Work) -> Work:
    return replace(work, priority=priority)


def ends(made: Bench, works: list[Work]) -> list[str]:
    """Keys in the order in which the works were done; what is lent is given back at once."""
    order: list[str] = []
    given_back: set[str] = set()
    for _ in range(2000):
        stepped = made.step()
        for work in works:
            events = made.events[work.key]
            if work.key not in order and events and isinstance(events[-1], WorkDone):
                order.append(work.key)
                if work.mode.value == "prefill" and work.key not in given_back:
                    given_back.add(work.key)
                    made.blocks.release(lent(made, work.key))
                    stepped = True
        if not stepped:
            return order
    raise AssertionError("still busy")


def test_of_those_that_wait_the_lowest_goes_first_then_who_came_first() -> None:
    with bench(max_num_seqs=1) as made:
        asked = [("a", 0), ("b", 5), ("c", -1), ("d", 0), ("e", -1)]
        works = [at(p, generate(k, prompt_of(5, i), sampled(2))) for i, (k, p) in enumerate(asked)]
        for work in works:
            made.submit(work)
        assert "".join(ends(made, works)) == "ceadb"


def test_within_a_priority_who_asked_first_goes_first_though_it_came_here_later() -> None:
    with bench(max_num_seqs=1) as made:
        later = replace(generate("later", prompt_of(5), sampled(2)), asked_at=20.0)
        earlier = replace(generate("earlier", prompt_of(5, 1), sampled(2)), asked_at=10.0)
        for work in (later, earlier):
            made.submit(work)
        assert ends(made, [later, earlier]) == ["earlier", "later"]


@pytest.mark.parametrize("make", [generate, prefill])
def test_an_urgent_one_waits_for_one_step_behind_a_long_prompt(
    make: Callable[..., Work],
) -> None:
    """Whether the long one keeps its place or, of one place, has to leave it."""
    for places in (1, 8):
        with bench(num_blocks=64, max_num_seqs=places, max_num_batched_tokens=12) as made:
            long = at(1, make("long", prompt_of(60), sampled(1)))
            urgent = at(-10, make("urgent", prompt_of(22, 1), sampled(1)))
            made.submit(long)
            made.step()
            made.submit(urgent)
            assert ends(made, [long, urgent]) == ["urgent", "long"]
            plans = made.runner.plans
            drawn = next(i for i, plan in enumerate(plans) if _draws(plan, 22))
            assert drawn == 2, "as many steps behind the one at hand as it takes alone"
            begun = [plan for plan in plans if any(piece.start == 0 for piece in plan.slices)]
            assert len(begun) == 2, "the long one was paused, not computed again"
            assert made.blocks.free == made.blocks.total


def _draws(plan: StepPlan, length: int) -> bool:
    return any(s.draws and s.start + len(s.tokens) == length for s in plan.slices)


def test_the_worst_gives_its_blocks_up_for_one_that_comes_and_loses_no_token() -> None:
    with bench(num_blocks=8) as made:
        works = [
            at(0, generate("normal", prompt_of(7), sampled(6))),
            at(5, generate("worst", prompt_of(8, 1), sampled(6))),
        ]
        for work in works:
            made.submit(work)
        made.step()
        works.append(at(-1, generate("urgent", prompt_of(17, 2), sampled(3))))
        made.submit(works[-1])
        made.step()
        assert {s.key for s in made.scheduler.sequences if s.blocks} == {"normal", "urgent"}
        made.run()
        for work in works:
            assert_answers(made, work.key, work.prompt, work.params)
        assert made.blocks.free == made.blocks.total


def test_nobody_gives_way_for_one_that_would_not_fit_all_the_same() -> None:
    with bench(num_blocks=8) as made:
        made.submit(at(5, generate("low", prompt_of(4), sampled(12))))
        made.step()
        reservation = made.blocks.reserve(5)
        assert reservation is not None
        made.submit(at(-1, generate("urgent", prompt_of(20, 1), sampled(2))))
        made.step()
        assert [piece.start for piece in made.last_plan.slices] == [4]
        reservation.cancel()
        made.run()
        assert_answers(made, "low", prompt_of(4), sampled(12))
        assert_answers(made, "urgent", prompt_of(20, 1), sampled(2))


def test_nobody_makes_a_place_for_its_like() -> None:
    with bench(max_num_seqs=1) as made:
        works = [generate(key, prompt_of(5, i), sampled(4)) for i, key in enumerate("ab")]
        made.submit(replace(works[0], asked_at=2.0))
        made.step()
        made.submit(replace(works[1], asked_at=1.0))
        assert ends(made, works) == ["a", "b"]


def test_a_paused_prompt_goes_on_when_only_its_blocks_can_help_the_urgent_one() -> None:
    """The one place is taken by an answer that lacks the blocks that the prompt has lent."""
    with bench(num_blocks=8, max_num_seqs=1, max_num_batched_tokens=8) as made:
        low = at(5, prefill("low", prompt_of(20), sampled(1)))
        urgent = at(-1, generate("urgent", prompt_of(7, 1), sampled(12)))
        made.submit(low)
        made.step()
        made.submit(urgent)
        assert ends(made, [low, urgent]) == ["low", "urgent"]
        assert_answers(made, "urgent", urgent.prompt, urgent.params)


def test_a_search_leaves_its_places_to_an_urgent_one_and_finds_the_same() -> None:
    params = replace(sampled(5, n=3), beam=BeamSearch(1.0))
    found = []
    for interrupted in (False, True):
        with bench(max_num_seqs=3) as made:
            made.submit(at(1, generate("search", prompt_of(6), params)))
            made.step()
            made.step()
            if interrupted:
                made.submit(at(0, generate("urgent", prompt_of(5, 1), sampled(2))))
                made.step()
                assert [s.start for s in made.last_plan.slices] == [0]
            made.run()
            found.append([made.records("search", choice) for choice in range(3)])
    assert found[0] == found[1]


class Crowd:
    """Urgent works that come for ever."""

    def __init__(self, made: Bench, lengths: list[int], params: SamplingParams) -> None:
        self.made, self.lengths, self.params = made, lengths, params
        self.count = 0

    def comes(self) -> None:
        self.count += 1
        length = self.lengths[self.count % len(self.lengths)]
        prompt = prompt_of(length, self.count)
        self.made.submit(at(-10, generate(f"crowd {self.count}", prompt, self.params)))


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 24),
    max_tokens=st.integers(1, 8),
    lengths=st.lists(st.integers(1, 24), min_size=1, max_size=5),
    crowd_tokens=st.integers(1, 8),
    places=st.integers(1, 4),
    spare=st.integers(4, 12),
    waves=st.lists(st.integers(0, 4), min_size=1, max_size=7),
)
def test_who_is_oldest_ends_within_a_bound_whatever_comes_after_it(
    length: int,
    max_tokens: int,
    lengths: list[int],
    crowd_tokens: int,
    places: int,
    spare: int,
    waves: list[int],
) -> None:
    """A turn to be aged, one for each block of the prompt, a step for each token."""
    with bench(num_blocks=9, max_num_seqs=places, max_num_batched_tokens=places + spare) as made:
        crowd = Crowd(made, lengths, sampled(crowd_tokens, seed=2))
        low = at(7, generate("low", prompt_of(length), sampled(max_tokens)))
        made.submit(low)
        bound = OLDEST_EVERY * (2 + made.limits.blocks_for(length)) + max_tokens
        for step in range(bound):
            for _ in range(waves[step % len(waves)]):
                crowd.comes()
            assert made.step()
            if any(isinstance(event, WorkDone) for event in made.events["low"]):
                break
        assert_answers(made, "low", low.prompt, low.params)


def test_an_aged_prompt_takes_one_chunk_in_a_turn_and_the_urgent_the_others() -> None:
    with bench(num_blocks=64, max_num_seqs=4, max_num_batched_tokens=12) as made:
        crowd = Crowd(made, [12], sampled(1))
        made.submit(at(7, prefill("low", prompt_of(36), sampled(1))))
        for _ in range(2 * OLDEST_EVERY):
            crowd.comes()
            crowd.comes()
            made.step()
        prompt = prompt_of(36)
        turns = [
            number
            for number, plan in enumerate(made.runner.plans)
            if any(piece.tokens == prompt[piece.start : piece.start + 12] for piece in plan.slices)
        ]
        assert turns == [OLDEST_EVERY - 1, 2 * OLDEST_EVERY - 1]
