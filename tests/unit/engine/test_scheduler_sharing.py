"""The scheduler by example: blocks shared by choices, lent by prefill, adopted by decode."""

from dataclasses import replace

import pytest

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from baton.engine.sequence import SequenceState
from baton.engine.work import Admitted, BlocksLent, ChunkComputed, TokensDrawn, WorkDone
from tests.support.engine_bench import Bench, assert_answers, bench, lent
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, decode, generate, prefill, prompt_of, sampled
from tests.support.hash_answer import hash_answer


def adopt(made: Bench, prompt: tuple[int, ...], params: SamplingParams) -> tuple[TokenRecord, ...]:
    """Runs a prefill here; its lent blocks stay for a decode on the same pool."""
    made.submit(prefill("p", prompt, params))
    made.run()
    return tuple(made.records("p", choice)[0] for choice in range(params.n))


def test_a_prompt_with_lent_blocks_is_not_preempted() -> None:
    with bench(num_blocks=8, max_num_seqs=4, max_num_batched_tokens=12) as made:
        made.submit(generate("old", prompt_of(8), sampled(3)))
        made.submit(prefill("p", prompt_of(24, 1)))
        made.step()
        made.step()
        assert [s.start for s in made.last_plan.slices] == [4], "the old one lacks a block"
        made.run()
        assert sum(isinstance(e, BlocksLent) for e in made.events["p"]) == 1
        made.blocks.release(lent(made, "p"))
        made.run()
        assert_answers(made, "old", prompt_of(8), sampled(3))


def test_choices_share_the_prompt_and_copy_its_partial_block() -> None:
    params = sampled(3, n=3)
    with bench() as made:
        made.submit(generate("a", prompt_of(10), params))
        made.step()
        assert len(made.last_plan.slices[0].draws) == 3
        made.step()
        tables = [s.blocks for s in made.last_plan.slices]
        assert len({blocks[:2] for blocks in tables}) == 1
        assert len({blocks[2] for blocks in tables}) == 3
        made.run()
        assert_answers(made, "a", prompt_of(10), params)
        assert made.blocks.free == 32


def test_choices_of_a_prompt_that_fills_its_blocks_copy_nothing() -> None:
    params = sampled(6, n=2)
    with bench() as made:
        made.submit(generate("a", prompt_of(8), params))
        made.step()
        assert made.blocks.total - made.blocks.free == 2
        made.run()
        assert_answers(made, "a", prompt_of(8), params)


def test_a_choice_without_a_block_starts_over_later() -> None:
    params = sampled(4, n=3)
    with bench(num_blocks=4) as made:
        made.submit(generate("a", prompt_of(10), params))
        made.step()
        states = [s.state for s in made.scheduler.sequences]
        assert sorted(s.value for s in states) == ["ready", "running", "waiting"]
        made.run()
        assert_answers(made, "a", prompt_of(10), params)
        assert made.blocks.free == 4


def test_prefill_lends_all_blocks_first_and_tells_of_each_chunk() -> None:
    with bench(max_num_batched_tokens=16) as made:
        made.submit(prefill("p", prompt_of(30)))
        made.run()
        first = hash_answer(HASH_MODEL, prompt_of(30), GREEDY)[0][0]
        blocks = lent(made, "p")
        assert len(blocks) == 8
        assert made.events["p"] == [
            Admitted(0),
            BlocksLent(blocks),
            ChunkComputed(16),
            ChunkComputed(30),
            TokensDrawn((first,)),
            WorkDone(),
        ]
        assert made.blocks.free == 24
        made.blocks.release(blocks)
        assert made.blocks.free == 32


def test_the_tail_of_a_lent_block_is_zero() -> None:
    with bench(num_blocks=4) as made:
        made.pool.view[: made.pool.canary_offset] = b"\xff" * made.pool.canary_offset
        made.submit(prefill("p", prompt_of(13)))
        made.run()
        size, width = made.limits.block_size, HASH_MODEL.head_dim
        start = lent(made, "p")[-1] * made.pool.block_bytes
        for row in range(HASH_MODEL.num_rows):
            at = start + row * size * width
            assert any(made.pool.view[at : at + width])
            assert not any(made.pool.view[at + width : at + size * width])


def test_lent_blocks_are_not_freed_for_others() -> None:
    with bench(num_blocks=8, max_num_batched_tokens=12) as made:
        made.submit(generate("old", prompt_of(8), sampled(20)))
        made.step()
        made.submit(prefill("p", prompt_of(16, 1)))
        made.run()
        assert len(made.records("p")) == 1
        assert 0 < len(made.records("old")) < 20, "it stalls with what it has"
        assert [s.state for s in made.scheduler.sequences] == [SequenceState.RUNNING]
        made.blocks.release(lent(made, "p"))
        made.run()
        assert_answers(made, "old", prompt_of(8), sampled(20))


@pytest.mark.parametrize("length", [1, 4, 9])
@pytest.mark.parametrize("n", [1, 3])
def test_decode_goes_on_from_adopted_blocks_and_first_tokens(length: int, n: int) -> None:
    prompt, params = prompt_of(length), sampled(6, n=n)
    with bench() as made:
        first = adopt(made, prompt, params)
        made.submit(decode("d", prompt, lent(made, "p"), first, params))
        made.run()
        expected = hash_answer(HASH_MODEL, prompt, params)
        for choice in range(n):
            assert (first[choice], *made.records("d", choice)) == expected[choice]
        assert made.blocks.free == 32


def test_decode_does_not_continue_what_the_first_token_ended() -> None:
    prompt, params = prompt_of(9), sampled(5, n=2)
    with bench() as made:
        one, two = adopt(made, prompt, params)
        one = replace(one, finish_reason=FinishReason.STOP)
        made.submit(decode("d", prompt, lent(made, "p"), (one, two), params))
        made.run()
        assert made.records("d", 0) == ()
        assert made.records("d", 1) == hash_answer(HASH_MODEL, prompt, params)[1][1:]


def test_decode_is_over_at_once_when_every_choice_has_ended() -> None:
    prompt, params = prompt_of(9), sampled(1, n=2)
    with bench() as made:
        first = adopt(made, prompt, params)
        made.submit(decode("d", prompt, lent(made, "p"), first, params))
        assert made.events["d"] == [WorkDone()]
        assert made.blocks.free == 32


def test_adopted_blocks_that_wait_for_a_place_are_given_up_for_older_works() -> None:
    prompt, params = prompt_of(16, 1), sampled(4)
    with bench(num_blocks=8, max_num_seqs=1) as made:
        made.submit(generate("old", prompt_of(12), sampled(12)))
        made.step()
        blocks = made.blocks.allocate(4)
        assert blocks is not None
        first = hash_answer(HASH_MODEL, prompt, params)[0][:1]
        made.submit(decode("d", prompt, blocks, first, params))
        made.run()
        assert_answers(made, "old", prompt_of(12), sampled(12))
        assert made.records("d") == hash_answer(HASH_MODEL, prompt, params)[0][1:]


def test_an_abort_gives_everything_back_but_what_was_lent() -> None:
    prompt = prompt_of(13)
    with bench(max_num_batched_tokens=12) as made:
        made.submit(generate("g", prompt, sampled(9, n=3)))
        made.submit(prefill("p", prompt))
        for _ in range(3):
            made.step()
        blocks = made.blocks.allocate(4)
        assert blocks is not None
        made.submit(decode("d", prompt, blocks, (TokenRecord(0, 13, 5),), sampled(9)))
        for key in ("g", "p", "d", "unknown"):
            made.core.abort(key)
        assert made.scheduler.sequences == ()
        assert not made.step()
        assert made.blocks.free == 32 - len(lent(made, "p"))
        assert not any(isinstance(e, WorkDone) for key in ("g", "d") for e in made.events[key])
