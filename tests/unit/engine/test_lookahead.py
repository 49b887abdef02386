"""Steps that are begun while others are under way: who is in them, and what becomes of those who ended.

The pretended device computes each as late as may be, so that a block taken away too early shows.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from baton.core.errors import InternalError
from baton.core.sampling_params import BeamSearch, SamplingParams
from baton.core.token_record import FinishReason
from baton.engine.work import ChunkComputed, WorkDone, WorkFailed
from tests.support.engine_bench import Bench, assert_answers, bench, lent
from tests.support.engine_device import FakeDevice
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import generate, prefill, prompt_of, sampled
from tests.support.hash_answer import hash_answer


@pytest.fixture
def made() -> Iterator[Bench]:
    with bench(ahead=True, caching=True) as made:
        yield made
        made.core.settle()
        made.blocks.check_integrity()


def device_of(made: Bench) -> FakeDevice:
    assert made.device is not None
    return made.device


def rows(made: Bench) -> list[list[tuple[int, int]]]:
    """Of each plan, where its slices begin and how long they are."""
    return [[(s.start, len(s.tokens)) for s in plan.slices] for plan in made.runner.plans]


def stopped_at(length: int, prompt: tuple[int, ...], seed: int = 1) -> SamplingParams:
    """A token that comes there for the first time ends the answer, of which 20 would follow."""
    params = sampled(length + 20, seed)
    answer = [r.token_id for r in hash_answer(HASH_MODEL, prompt, params)[0]]
    assert answer[length - 1] not in answer[: length - 1]
    return replace(params, stop_token_ids=(answer[length - 1],))


def test_each_step_but_the_first_begins_while_another_is_under_way(made: Bench) -> None:
    made.submit(generate("a", prompt_of(5), sampled(6)))
    made.submit(generate("b", prompt_of(9, 1), sampled(6, seed=2)))

    made.run()

    assert_answers(made, "a", prompt_of(5), sampled(6))
    assert_answers(made, "b", prompt_of(9, 1), sampled(6, seed=2))
    assert device_of(made).num_ahead == len(made.runner.plans) - 1


def test_whoever_ends_by_its_length_has_no_row_too_many(made: Bench) -> None:
    made.submit(generate("short", prompt_of(5), sampled(2)))
    made.submit(generate("long", prompt_of(6, 1), sampled(4)))

    made.run()

    assert rows(made) == [[(0, 5), (0, 6)], [(5, 1), (6, 1)], [(7, 1)], [(8, 1)]]


def test_of_whoever_a_token_ends_one_row_too_many_is_thrown_away(made: Bench) -> None:
    """Position 8 begins a block of its own: it was taken for the row that nobody needed."""
    prompt = prompt_of(5)
    params = stopped_at(4, prompt)
    made.submit(generate("a", prompt, params))
    for _ in range(4):
        made.step()

    assert made.events["a"][-1] == WorkDone()
    assert [r.finish_reason for r in made.records("a")] == [None] * 3 + [FinishReason.STOP]
    assert device_of(made).num_flying == 1
    assert made.blocks.free == made.blocks.total - 3, "a step under way writes there"

    made.step()

    assert rows(made)[-1] == [(8, 1)]
    assert_answers(made, "a", prompt, params)
    assert made.blocks.free == made.blocks.total
    assert len(made.blocks._books.cache._by_name) == 2, "of what was drawn and read"


def test_nobody_gets_a_block_that_a_step_under_way_writes(made: Bench) -> None:
    """Another thread asks for every block there is, the moment that the answer has ended."""
    prompt = prompt_of(5)
    made.submit(generate("a", prompt, stopped_at(4, prompt)))
    for _ in range(4):
        made.step()
    taken = made.blocks.allocate(made.blocks.free)
    assert taken is not None

    made.core.settle()

    written = {
        block for plan in made.runner.plans for piece in plan.slices for block in piece.blocks
    }
    assert not written & set(taken)
    made.blocks.release(taken)


def test_a_block_that_a_step_reads_is_not_given_back_when_an_equal_one_takes_its_place(
    made: Bench,
) -> None:
    prompt, params = prompt_of(3), sampled(12)
    made.submit(generate("a", prompt, params))
    made.submit(generate("b", prompt, params))
    for _ in range(2):
        made.step()

    assert len(made.scheduler.tables.held) == 2, "the full block of each; one was swapped"

    made.run()
    assert_answers(made, "a", prompt, params)
    assert_answers(made, "b", prompt, params)
    assert made.blocks.free == made.blocks.total


def test_prompts_go_on_beside_answers_under_the_bound_for_them() -> None:
    prompt = prompt_of(90, 1)
    with bench(ahead=True, max_mixed_prompt_tokens=20) as made:
        made.submit(generate("writes", prompt_of(3), sampled(12)))
        made.step()
        made.submit(prefill("reads", prompt, sampled(4)))
        made.run()

        assert_answers(made, "writes", prompt_of(3), sampled(12))
        chunks = [e.num_tokens for e in made.events["reads"] if isinstance(e, ChunkComputed)]
        assert chunks == [20, 40, 60, 80, 90]
        assert made.records("reads") == hash_answer(HASH_MODEL, prompt, sampled(4))[0][:1]
        assert device_of(made).num_ahead == len(made.runner.plans) - 2, "all but their first ones"
        made.blocks.release(lent(made, "reads"))


def test_who_comes_waits_for_the_steps_under_way_and_comes_in(made: Bench) -> None:
    made.submit(generate("a", prompt_of(5), sampled(9)))
    made.step()
    made.submit(generate("b", prompt_of(6, 1), sampled(3)))
    made.step()
    assert len(made.last_plan.slices) == 1
    assert device_of(made).num_flying == 0, "the next step is b's first"
    made.run()
    assert_answers(made, "b", prompt_of(6, 1), sampled(3))


def test_who_waits_for_a_place_is_no_reason_to_wait_for_a_step() -> None:
    with bench(ahead=True, max_num_seqs=1) as made:
        made.submit(generate("a", prompt_of(5), sampled(5)))
        made.submit(generate("b", prompt_of(6, 1), sampled(5)))

        made.run()

        assert device_of(made).num_ahead == 8, "but where a's place comes free, b is let in first"
        assert_answers(made, "b", prompt_of(6, 1), sampled(5))


def test_a_draw_that_needs_the_host_is_waited_for(made: Bench) -> None:
    device_of(made).foresees = lambda params: params.seed != 7
    made.submit(generate("a", prompt_of(5), sampled(4, seed=7)))
    made.submit(generate("b", prompt_of(6, 1), sampled(6)))

    made.run()

    assert device_of(made).num_ahead == 1, (
        "once a has ended, only b's last step is left to begin so"
    )
    assert_answers(made, "a", prompt_of(5), sampled(4, seed=7))
    assert_answers(made, "b", prompt_of(6, 1), sampled(6))


def test_a_prompt_that_is_scored_is_waited_for(made: Bench) -> None:
    made.submit(generate("writes", prompt_of(5), sampled(9)))
    made.step()
    made.core.settle()
    before = device_of(made).num_ahead
    scored = replace(sampled(1), prompt_logprobs=1)
    made.submit(generate("scored", prompt_of(100, 1), scored))
    while WorkDone() not in made.events["scored"]:
        made.step()
    assert device_of(made).num_ahead == before
    made.run()
    assert device_of(made).num_ahead > before
    assert_answers(made, "writes", prompt_of(5), sampled(9))


@pytest.mark.parametrize("beam", [None, BeamSearch()])
def test_choices_that_fork_and_beams_are_waited_for(made: Bench, beam: BeamSearch | None) -> None:
    params = replace(sampled(2, n=3), beam=beam)
    made.submit(generate("a", prompt_of(6), params))
    made.run()
    assert device_of(made).num_ahead == 0
    assert isinstance(made.events["a"][-1], WorkDone)


def test_where_blocks_are_short_somebody_gives_way_with_nothing_under_way() -> None:
    with bench(6, ahead=True) as made:
        for name, salt in (("a", 0), ("b", 1)):
            made.submit(generate(name, prompt_of(7, salt), sampled(12, seed=salt)))

        made.run()

        assert made.scheduler.preemptions
        assert device_of(made).num_ahead
        for name, salt in (("a", 0), ("b", 1)):
            assert_answers(made, name, prompt_of(7, salt), sampled(12, seed=salt))
        assert made.blocks.free == made.blocks.total


def test_what_was_computed_with_a_wrong_token_is_computed_again(made: Bench) -> None:
    made.submit(generate("a", prompt_of(5), sampled(12)))
    made.submit(generate("b", prompt_of(6, 1), sampled(12)))
    made.step()
    device_of(made).misleads = True
    made.step()
    device_of(made).misleads = False

    made.run()

    assert device_of(made).num_misled == 2, "the step behind, and the one behind that"
    assert_answers(made, "a", prompt_of(5), sampled(12))
    assert_answers(made, "b", prompt_of(6, 1), sampled(12))
    assert made.blocks.free == made.blocks.total


def test_a_work_that_fails_fails_alone_and_its_row_under_way_is_nobodys(made: Bench) -> None:
    made.submit(generate("a", prompt_of(5), sampled(9)))
    made.submit(generate("b", prompt_of(6, 1), sampled(9)))
    made.step()
    made.runner.fails = True
    made.step()
    made.runner.fails = False

    made.run()

    assert isinstance(made.events["a"][-1], WorkFailed)
    assert len(made.records("a")) == 1
    assert_answers(made, "b", prompt_of(6, 1), sampled(9))
    assert made.blocks.free == made.blocks.total


def test_a_work_that_is_aborted_holds_its_blocks_until_its_row_has_landed(made: Bench) -> None:
    made.submit(generate("a", prompt_of(5), sampled(9)))
    made.submit(generate("b", prompt_of(6, 1), sampled(9)))
    made.step()
    made.core.abort("a")
    held = made.scheduler.tables.held
    assert held
    made.events["a"].clear()
    made.submit(generate("a", prompt_of(30, 2), sampled(3)))  # its key is free again

    made.run()

    assert_answers(made, "a", prompt_of(30, 2), sampled(3))
    assert_answers(made, "b", prompt_of(6, 1), sampled(9))
    assert made.scheduler.tables.held == ()
    assert made.blocks.free == made.blocks.total


def test_nobody_gives_away_or_makes_room_with_a_step_under_way(made: Bench) -> None:
    made.submit(generate("a", prompt_of(5), sampled(9)))
    made.step()
    with pytest.raises(InternalError, match="under way"):
        made.core.give_away("a", 0)
    with pytest.raises(InternalError, match="under way"):
        made.core.make_room(0, 1, lambda: True)
    made.core.settle()
    loan = made.core.give_away("a", 0)
    assert loan.num_computed == 6
    assert len(loan.records) == 2
    made.blocks.release(loan.blocks)


def test_the_steps_times_add_up_to_no_more_than_the_time(made: Bench) -> None:
    made.submit(generate("a", prompt_of(5), sampled(6)))
    made.run()
    steps = made.core._meter.totals
    assert steps.reading.steps == 1
    assert steps.writing.steps == 5
    assert steps.writing.sequences == 5
    assert min(steps.reading.seconds, steps.writing.seconds) > 0
