"""Beam searches in the scheduler by example: places, blocks, preemption, ends."""

from dataclasses import replace

from baton.core.sampling_params import BeamSearch, SamplingParams
from baton.engine.sequence import SequenceState
from baton.engine.work import (
    Admitted,
    BlocksLent,
    ChunkComputed,
    TokensDrawn,
    WorkDone,
    WorkFailed,
)
from tests.support.beam_answer import hash_beams
from tests.support.engine_bench import Bench, assert_answers, bench, lent
from tests.support.engine_works import decode, generate, prefill, prompt_of, sampled


def searched(max_tokens: int = 6, n: int = 2, penalty: float = 1.0) -> SamplingParams:
    return replace(sampled(max_tokens, n=n), beam=BeamSearch(penalty))


def assert_beams(made: Bench, key: str, prompt: tuple[int, ...], params: SamplingParams) -> None:
    longest = made.limits.search_len(len(prompt), params)
    expected = hash_beams(made.model, prompt, params, longest)
    assert tuple(made.records(key, choice) for choice in range(params.n)) == expected
    assert isinstance(made.events[key][-1], WorkDone)


def test_nothing_is_told_before_the_end_but_that_it_goes_on() -> None:
    prompt, params = prompt_of(10), searched(5, n=3)
    with bench() as made:
        made.submit(generate("s", prompt, params))
        made.run()
        admitted, *signs, answer, done = made.events["s"]
        assert admitted == Admitted(0)
        assert signs == [TokensDrawn(())] * 4
        assert isinstance(answer, TokensDrawn)
        assert [r.choice for r in answer.records] == sorted(r.choice for r in answer.records)
        assert done == WorkDone()
        assert_beams(made, "s", prompt, params)
        assert made.blocks.free == 32


def test_beams_share_full_blocks_and_are_in_one_step() -> None:
    with bench() as made:
        made.submit(generate("s", prompt_of(10), searched(8, n=4)))
        made.step()
        assert [len(piece.draws) for piece in made.last_plan.slices] == [1]
        made.step()
        tables = [piece.blocks for piece in made.last_plan.slices]
        assert len(tables) == 4
        assert len({blocks[:2] for blocks in tables}) == 1
        assert len({blocks[2] for blocks in tables}) == 4
        assert made.blocks.total - made.blocks.free == 2 + 4


def test_a_search_holds_places_for_all_its_beams_while_it_reads_its_prompt() -> None:
    with bench(max_num_seqs=3, max_num_batched_tokens=8) as made:
        made.submit(generate("s", prompt_of(20), searched(n=3)))
        made.submit(generate("a", prompt_of(3), sampled(2)))
        for _ in range(3):
            made.step()
            assert {draw.key for s in made.last_plan.slices for draw in s.draws} <= {"s"}
        made.run()
        assert_beams(made, "s", prompt_of(20), searched(n=3))
        assert_answers(made, "a", prompt_of(3), sampled(2))


def test_a_search_waits_for_room_for_all_its_beams() -> None:
    with bench(max_num_seqs=3) as made:
        made.submit(generate("a", prompt_of(3), sampled(3)))
        made.submit(generate("s", prompt_of(3, 1), searched(n=3)))
        made.step()
        assert len(made.last_plan.slices) == 1
        made.run()
        assert_answers(made, "a", prompt_of(3), sampled(3))
        assert_beams(made, "s", prompt_of(3, 1), searched(n=3))


def test_a_search_that_gives_way_begins_again_and_finds_the_same() -> None:
    params = searched(14, n=3)
    with bench(num_blocks=11) as made:
        made.submit(generate("old", prompt_of(8), sampled(20)))
        made.submit(generate("s", prompt_of(8, 1), params))
        restarts = 0
        while made.step():
            states = [s.state for s in made.scheduler.sequences if s.key == "s"]
            restarts += states == [SequenceState.WAITING] and made.blocks.free > 0
        assert restarts, "what is tested must happen"
        assert_answers(made, "old", prompt_of(8), sampled(20))
        assert_beams(made, "s", prompt_of(8, 1), params)
        assert sum(isinstance(e, Admitted) for e in made.events["s"]) == 1
        assert made.blocks.free == 11


def test_beams_that_lack_a_lent_block_wait_together() -> None:
    params = searched(6, n=2)
    with bench(num_blocks=8) as made:
        held = made.blocks.allocate(4)
        assert held is not None
        made.submit(generate("s", prompt_of(8), params))
        while made.step():
            pass
        assert len(made.scheduler.sequences) == 2
        assert not made.records("s")
        made.blocks.release(held)
        made.run()
        assert_beams(made, "s", prompt_of(8), params)


def test_a_search_is_cut_to_what_its_beams_can_hold_alone() -> None:
    params = searched(100, n=2)
    with bench(num_blocks=8) as made:
        made.submit(generate("s", prompt_of(8), params))
        made.run()
        assert made.limits.search_len(8, params) == 20
        assert_beams(made, "s", prompt_of(8), params)


def test_prefill_draws_nothing_and_decode_computes_the_last_token_again() -> None:
    prompt, params = prompt_of(8), searched()
    with bench() as sender, bench() as receiver:
        sender.submit(prefill("p", prompt, params))
        sender.run()
        kinds = [type(event) for event in sender.events["p"]]
        assert kinds == [Admitted, BlocksLent, ChunkComputed, WorkDone]
        blocks = receiver.blocks.allocate(2)
        assert blocks is not None
        size = sender.pool.block_bytes
        for source, target in zip(lent(sender, "p"), blocks, strict=True):
            piece = sender.pool.view[source * size : (source + 1) * size]
            receiver.pool.view[target * size : (target + 1) * size] = piece
        receiver.submit(decode("d", prompt, blocks, (), params))
        receiver.step()
        assert receiver.last_plan.slices[0].start == 7
        receiver.run()
        assert_beams(receiver, "d", prompt, params)
        assert receiver.blocks.free == 32


def test_only_the_prompt_is_cached() -> None:
    prompt, params = prompt_of(9), searched(20)
    with bench(caching=True) as made:
        for key in ("s", "t"):
            made.submit(generate(key, prompt, params))
            made.run()
            assert_beams(made, key, prompt, params)
        assert made.events["t"][0] == Admitted(8)
        assert sum(block in made.blocks._books.cache for block in range(32)) == 2


def test_an_abort_and_a_failure_free_every_beam() -> None:
    with bench() as made:
        for key in ("aborted", "failed"):
            made.submit(generate(key, prompt_of(9), searched(20, n=4)))
            made.step()
            made.step()
            assert [s.key for s in made.scheduler.sequences] == [key] * 4
            if key == "aborted":
                made.core.abort(key)
            else:
                made.runner.fails = True
                made.step()
                assert isinstance(made.events[key][-1], WorkFailed)
            assert not made.scheduler.sequences
            assert made.blocks.free == 32


def test_the_first_search_takes_what_its_beams_lack_from_those_that_came_later() -> None:
    params = searched(12, n=3)
    with bench(num_blocks=6) as made:
        made.submit(generate("s", prompt_of(9), params))
        made.submit(generate("later", prompt_of(9, 1), sampled(12)))
        set_back = 0
        while made.step():
            states = {s.key: s.state for s in made.scheduler.sequences}
            assert states.get("s") is not SequenceState.WAITING, "it began again"
            set_back += states.get("later") is SequenceState.WAITING
        assert set_back, "what is tested must happen"
        assert_beams(made, "s", prompt_of(9), params)
        assert_answers(made, "later", prompt_of(9, 1), sampled(12))
