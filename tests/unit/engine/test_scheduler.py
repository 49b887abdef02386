"""The scheduler by example: order, budget, preemption, ends. Answers are checked byte for byte."""

from dataclasses import replace

import pytest

from baton.core.errors import InternalError
from baton.core.token_record import FinishReason
from baton.engine.scheduling.draft import Draft
from baton.engine.sequence import Sequence, SequenceState
from baton.engine.work import TokensDrawn, WorkFailed
from tests.support.engine_bench import assert_answers, bench, lent
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, generate, prefill, prompt_of, sampled
from tests.support.hash_answer import hash_answer


def test_a_short_prompt_takes_one_step_per_token() -> None:
    with bench() as made:
        made.submit(generate("a", prompt_of(5), sampled(3)))
        made.run()
        shapes = [
            [(s.start, len(s.tokens), len(s.draws)) for s in p.slices] for p in made.runner.plans
        ]
        assert shapes == [[(0, 5, 1)], [(5, 1, 1)], [(6, 1, 1)]]
        assert_answers(made, "a", prompt_of(5), sampled(3))
        assert made.blocks.free == 32


def test_a_long_prompt_is_cut_at_block_boundaries_and_only_its_end_draws() -> None:
    with bench(max_num_batched_tokens=14) as made:
        made.submit(generate("a", prompt_of(30), sampled(2)))
        made.run()
        shapes = [
            (p.slices[0].start, p.num_tokens, len(p.slices[0].draws)) for p in made.runner.plans
        ]
        assert shapes == [(0, 12, 0), (12, 12, 0), (24, 6, 1), (30, 1, 1)]
        assert_answers(made, "a", prompt_of(30), sampled(2))


def test_decodes_come_first_then_running_prompts_then_new_ones() -> None:
    with bench(max_num_batched_tokens=16) as made:
        made.submit(generate("writes", prompt_of(3), sampled(9)))
        made.step()
        made.submit(generate("reads", prompt_of(28, 1), sampled(2)))
        made.step()
        made.submit(generate("new", prompt_of(5, 2), sampled(2)))
        made.step()
        assert [s.start for s in made.last_plan.slices] == [4, 12]
        made.step()
        assert [(s.start, len(s.tokens)) for s in made.last_plan.slices] == [
            (5, 1),
            (24, 4),
            (0, 5),
        ]


def test_a_step_that_writes_answers_reads_no_more_of_prompts_than_is_set() -> None:
    with bench(max_mixed_prompt_tokens=8) as made:
        made.submit(generate("writes", prompt_of(3), sampled(9, ignore_eos=True)))
        made.step()
        made.submit(generate("reads", prompt_of(21, 1), sampled(2)))
        made.submit(generate("new", prompt_of(6, 2), sampled(2)))
        read = []
        for _ in range(4):
            made.step()
            read.append([len(s.tokens) for s in made.last_plan.slices])
        assert read == [[1, 8], [1, 8], [1, 5], [1, 1, 6]]
        made.run()
        assert_answers(made, "reads", prompt_of(21, 1), sampled(2))


def test_a_step_of_prompts_alone_reads_as_much_as_a_step_may_have() -> None:
    with bench(max_mixed_prompt_tokens=4) as made:
        made.submit(generate("reads", prompt_of(21), sampled(2)))
        made.submit(prefill("lends", prompt_of(17, 1)))
        made.step()
        assert [len(s.tokens) for s in made.last_plan.slices] == [21, 17]


def test_no_more_sequences_than_allowed_are_in_one_step() -> None:
    with bench(max_num_seqs=2) as made:
        for salt in range(5):
            made.submit(generate(f"w{salt}", prompt_of(4, salt), sampled(4)))
        made.submit(generate("three", prompt_of(6, 9), sampled(4, n=3)))
        made.run()
        assert max(len(p.slices) for p in made.runner.plans) == 2
        for salt in range(5):
            assert_answers(made, f"w{salt}", prompt_of(4, salt), sampled(4))
        assert_answers(made, "three", prompt_of(6, 9), sampled(4, n=3))


def test_nobody_overtakes_a_prompt_that_waits_for_blocks() -> None:
    with bench(num_blocks=8) as made:
        made.submit(generate("first", prompt_of(12), sampled(4)))
        made.step()
        made.submit(prefill("big", prompt_of(24, 1)))
        made.submit(generate("small", prompt_of(2, 2), sampled(1)))
        made.step()
        assert not made.events["big"]
        assert not made.events["small"]
        made.run()
        assert lent(made, "big")
        assert_answers(made, "small", prompt_of(2, 2), sampled(1))


def test_the_end_of_sequence_token_stops_and_wins_over_the_length() -> None:
    prompt = prompt_of(9)
    eos = hash_answer(HASH_MODEL, prompt, GREEDY)[0][1].token_id
    with bench(model=replace(HASH_MODEL, eos_token_id=eos)) as made:
        two = replace(GREEDY, max_tokens=2)
        made.submit(generate("stops", prompt, two))
        made.submit(generate("ignores", prompt, replace(two, ignore_eos=True)))
        made.run()
        assert made.records("stops")[-1].finish_reason is FinishReason.STOP
        assert made.records("ignores")[-1].finish_reason is FinishReason.LENGTH


def test_the_models_length_ends_an_answer() -> None:
    with bench(num_blocks=4) as made:
        params = sampled(100)
        made.submit(generate("a", prompt_of(13), params))
        made.run()
        assert made.records("a")[-1] == made.records("a")[2]
        assert made.records("a")[-1].position == 15
        assert_answers(made, "a", prompt_of(13), params)


def test_whoever_came_last_gives_way_when_blocks_run_out() -> None:
    with bench(num_blocks=6) as made:
        params = sampled(12)
        made.submit(generate("old", prompt_of(8), params))
        made.submit(generate("young", prompt_of(8, 1), params))
        made.run()
        assert_answers(made, "old", prompt_of(8), params)
        assert_answers(made, "young", prompt_of(8, 1), params)
        assert made.records("old")[-1].position == 19
        again = [s for p in made.runner.plans for s in p.slices if s.start == 0]
        assert len(again) == 3, "the young one was computed twice"
        assert len(again[-1].tokens) > 8
        assert len(again[-1].draws) == 1, "only the last row of what is known draws"


def test_whoever_gives_way_to_an_older_prompt_leaves_the_step_that_it_was_in() -> None:
    """Decodes are picked first, but the prompt came first."""
    old, young = sampled(1), sampled(8)
    with bench(num_blocks=11, max_num_batched_tokens=14) as made:
        made.submit(generate("old", prompt_of(40), old))
        made.submit(generate("young", prompt_of(2, 1), young))
        made.run()
        assert_answers(made, "old", prompt_of(40), old)
        assert_answers(made, "young", prompt_of(2, 1), young)
        starts = [[s.start for s in p.slices] for p in made.runner.plans]
        assert starts[:5] == [[0, 0], [2, 12], [3, 24], [36], [0]]


def test_a_dropped_pick_gives_its_tokens_back() -> None:
    draft = Draft(budget=10)
    sequence = Sequence(generate("a", prompt_of(4)), 0, (0,), [1, 2, 3, 4])
    draft.pick(sequence, 4)
    draft.drop(sequence)
    assert (draft.budget, draft.picks) == (10, {})


def test_a_prompt_waits_until_there_is_room_for_all_of_it() -> None:
    """Not only for its first chunk: it would soon be preempted again."""
    with bench(num_blocks=8, max_num_seqs=4, max_num_batched_tokens=12) as made:
        reservation = made.blocks.reserve(2)
        assert reservation is not None
        made.submit(generate("a", prompt_of(24), sampled(2)))
        assert not made.step()
        reservation.cancel()
        made.run()
        assert_answers(made, "a", prompt_of(24), sampled(2))


def test_nobody_new_comes_in_while_somebody_in_the_batch_lacks_blocks() -> None:
    with bench(num_blocks=8, max_num_seqs=4, max_num_batched_tokens=12) as made:
        made.submit(generate("old", prompt_of(24), sampled(2)))
        made.step()
        reservation = made.blocks.reserve(3)
        assert reservation is not None
        made.submit(generate("small", prompt_of(2, 1), sampled(2)))
        assert not made.step()
        assert made.blocks.free == 2, "enough for the small one, not for the old one's next chunk"
        reservation.cancel()
        made.run()
        assert_answers(made, "old", prompt_of(24), sampled(2))
        assert_answers(made, "small", prompt_of(2, 1), sampled(2))


def test_some_choices_may_end_with_their_first_token() -> None:
    prompt, params = prompt_of(10), sampled(5, n=3, ignore_eos=False)
    eos = hash_answer(HASH_MODEL, prompt, params)[0][0].token_id
    with bench(model=replace(HASH_MODEL, eos_token_id=eos)) as made:
        made.submit(generate("a", prompt, params))
        made.run()
        assert len(made.records("a", 0)) == 1
        assert_answers(made, "a", prompt, params)


def test_a_finished_sequence_cannot_move_again() -> None:
    with bench() as made:
        made.submit(generate("a", prompt_of(3), sampled(1)))
        [sequence] = made.scheduler.sequences
        made.run()
        with pytest.raises(InternalError, match="finished -> running"):
            sequence.move(SequenceState.RUNNING)


def test_a_work_for_which_nothing_can_be_drawn_fails_alone() -> None:
    with bench() as made:
        made.submit(generate("fails", prompt_of(5), sampled(9, n=2)))
        made.submit(generate("goes on", prompt_of(6), sampled(3)))
        made.step()
        plan = made.scheduler.schedule().plan
        results = [InternalError("no numbers"), *made.runner.run(plan)[1:]]
        events = dict(made.scheduler.postprocess(plan, results).events)
        end = events["fails"]
        assert isinstance(end, WorkFailed)
        assert isinstance(end.error, InternalError)
        assert isinstance(events["goes on"], TokensDrawn)
        assert {s.key for s in made.scheduler.sequences} == {"goes on"}
        made.run()
        assert made.blocks.free == made.blocks.total
