"""The scheduler by example: prompts that begin alike."""

from dataclasses import replace

import pytest

from baton.core.errors import BatonError, InternalError, RequestError
from baton.engine.work import Admitted, BlocksLent, ChunkComputed, Work, WorkFailed
from tests.support.engine_bench import Bench, assert_answers, bench, lent
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, decode, generate, prefill, prompt_of, sampled
from tests.support.hash_answer import hash_answer


def run(made: Bench, work: Work) -> list[int]:
    """To its end; the starts of what was computed for it, which is alone."""
    before = len(made.runner.plans)
    made.submit(work)
    made.run()
    return [piece.start for plan in made.runner.plans[before:] for piece in plan.slices]


def cached(made: Bench, key: str) -> int:
    [admitted] = [e for e in made.events[key] if isinstance(e, Admitted)]
    assert made.events[key][0] == admitted
    return admitted.num_cached_tokens


@pytest.mark.parametrize(("length", "hit"), [(3, 0), (4, 0), (5, 4), (8, 4), (9, 8), (30, 28)])
def test_a_repeated_prompt_starts_after_its_full_blocks_but_never_after_its_last_token(
    length: int, hit: int
) -> None:
    prompt, params = prompt_of(length), sampled(3)
    with bench(caching=True) as made:
        assert run(made, generate("first", prompt, params))[0] == 0
        assert run(made, generate("again", prompt, params))[0] == hit
        assert (cached(made, "first"), cached(made, "again")) == (0, hit)
        assert_answers(made, "again", prompt, params)
        assert made.blocks.free == 32


def test_the_next_turn_finds_the_answer_too() -> None:
    prompt, params = prompt_of(10), sampled(9)
    with bench(caching=True) as made:
        run(made, generate("first", prompt, params))
        answer = tuple(record.token_id for record in made.records("first"))
        turn = (*prompt, *answer, *prompt_of(5, 1))
        run(made, generate("second", turn, params))
        assert cached(made, "second") == 16, "the last token's KV was never computed: 18 are known"
        assert_answers(made, "second", turn, params)


def test_an_answer_that_is_to_be_kept_outlives_what_came_after_it() -> None:
    prompt, params = prompt_of(10), sampled(9)
    with bench(caching=True) as made:
        run(made, replace(generate("kept", prompt, params), keep_seconds=60.0))
        answer = tuple(record.token_id for record in made.records("kept"))
        for salt in range(2, 10):  # more than the pool has room for
            run(made, generate(f"other {salt}", prompt_of(20, salt), params))
        run(made, generate("next", (*prompt, *answer), params))
        assert cached(made, "next") == 16


@pytest.mark.parametrize(
    "other", [{"cache_salt": "x"}, {"tenant": "x"}, {"cache_salt": "a", "tenant": "b"}]
)
def test_another_salt_or_tenant_never_hits(other: dict[str, str]) -> None:
    prompt = prompt_of(20)
    with bench(caching=True) as made:
        run(made, generate("first", prompt))
        foreign = replace(generate("foreign", prompt), **other)  # type: ignore[arg-type]
        run(made, foreign)
        assert cached(made, "foreign") == 0
        run(made, replace(foreign, key="again"))
        assert cached(made, "again") == 16


def test_one_that_may_not_read_the_cache_computes_everything_and_fills_it() -> None:
    prompt = prompt_of(20)
    with bench(caching=True) as made:
        assert run(made, replace(generate("alone", prompt), reads_cache=False))[0] == 0
        run(made, generate("after", prompt))
        assert run(made, replace(generate("again", prompt), reads_cache=False))[0] == 0
        assert [cached(made, key) for key in ("alone", "after", "again")] == [0, 16, 0]
        assert (made.scheduler.tables.cache_queries, made.scheduler.tables.cache_hits) == (20, 16)


def test_without_a_cache_nothing_is_found_and_nothing_is_counted() -> None:
    with bench() as made:
        run(made, generate("first", prompt_of(20)))
        run(made, generate("again", prompt_of(20)))
        assert cached(made, "again") == 0
        assert made.scheduler.tables.cache_queries == 0


def test_a_prompt_finds_what_another_has_computed_so_far() -> None:
    prompt = prompt_of(30)
    with bench(caching=True, max_num_batched_tokens=14) as made:
        made.submit(generate("first", prompt, sampled(2)))
        made.step()
        made.submit(generate("second", prompt, sampled(2)))
        made.run()
        assert cached(made, "second") in (12, 24, 28)
        assert_answers(made, "first", prompt, sampled(2))
        assert_answers(made, "second", prompt, sampled(2))


def test_equal_prompts_at_the_same_time_end_up_in_the_same_blocks() -> None:
    prompt, params = prompt_of(12), replace(GREEDY, max_tokens=6, ignore_eos=True)
    with bench(caching=True) as made:
        for key in ("one", "two"):
            made.submit(generate(key, prompt, params))
        made.step()
        assert made.blocks.total - made.blocks.free == 3
        made.run()
        for key in ("one", "two"):
            assert_answers(made, key, prompt, params)


def test_prefill_lends_cached_blocks_as_final_at_once() -> None:
    prompt = prompt_of(30)
    with bench(caching=True, max_num_batched_tokens=16) as made:
        run(made, prefill("p", prompt))
        blocks = lent(made, "p")
        made.blocks.release(blocks)
        run(made, prefill("again", prompt))
        again = lent(made, "again")
        assert again[:7] == blocks[:7]
        assert again[7] not in blocks[:7]
        assert made.events["again"][:4] == [
            Admitted(28),
            BlocksLent(again),
            ChunkComputed(28),
            ChunkComputed(30),
        ]
        made.blocks.release(again)
        assert made.blocks.free == 32


def test_two_leases_of_one_prefix_share_its_blocks() -> None:
    prompt = prompt_of(17)
    with bench(num_blocks=8, caching=True) as made:
        run(made, prefill("one", prompt))
        run(made, prefill("two", prompt))
        assert made.blocks.free == 2, "five blocks, and one more for the second's last token"
        made.blocks.release(lent(made, "one"))
        assert made.blocks.free == 3
        made.blocks.release(lent(made, "two"))
        assert made.blocks.free == 8


def test_what_decode_adopts_is_found_by_later_prompts() -> None:
    prompt, params = prompt_of(13), sampled(6)
    with bench(caching=True) as made:
        first = hash_answer(HASH_MODEL, prompt, params)[0][:1]
        run(made, prefill("p", prompt, params))
        made.submit(decode("d", prompt, lent(made, "p"), first, params))
        made.run()
        run(made, generate("again", prompt, params))
        assert cached(made, "again") == 12
        assert not any(isinstance(e, Admitted) for e in made.events["d"])


def test_a_second_hand_off_of_a_prompt_keeps_one_copy() -> None:
    prompt, params = prompt_of(12), sampled(2)
    with bench(caching=True) as made:
        run(made, replace(prefill("p", prompt, params), reads_cache=False))
        run(made, replace(prefill("q", prompt, params), reads_cache=False))
        first = hash_answer(HASH_MODEL, prompt, params)[0][:1]
        assert made.blocks.free == 32 - 6
        for source in ("p", "q"):
            made.submit(decode(f"d{source}", prompt, lent(made, source), first, params))
        assert made.blocks.free == 32 - 3
        made.run()
        assert made.blocks.free == 32


def test_choices_share_a_cached_prompt_and_write_into_blocks_of_their_own() -> None:
    prompt, params = prompt_of(10), sampled(7, n=3)
    with bench(caching=True) as made:
        run(made, generate("first", prompt, params))
        made.submit(generate("again", prompt, params))
        made.run()
        assert cached(made, "again") == 8
        assert_answers(made, "again", prompt, params)


def test_a_preempted_sequence_comes_back_from_the_cache_and_says_nothing_again() -> None:
    """Both grow until one has to go; its full blocks are the last to be taken by the other."""
    old, young = sampled(16), sampled(14)
    with bench(num_blocks=8, caching=True) as made:
        made.submit(generate("old", prompt_of(8), old))
        made.submit(generate("young", prompt_of(8, 1), young))
        made.run()
        assert_answers(made, "old", prompt_of(8), old)
        assert_answers(made, "young", prompt_of(8, 1), young)
        assert (cached(made, "old"), cached(made, "young")) == (0, 0)
        whole = [s for p in made.runner.plans for s in p.slices if s.start == 0]
        back = [s for p in made.runner.plans for s in p.slices if s.start and len(s.tokens) > 1]
        assert len(whole) == 2, "nobody computed a prompt twice"
        assert len(back) == 1, "one was preempted and lost only its end"
        assert made.scheduler.preemptions == 1


def test_a_prompt_is_admitted_when_its_own_cached_blocks_make_the_room() -> None:
    prompt, params = prompt_of(24), sampled(2)
    with bench(num_blocks=8, caching=True) as made:
        run(made, prefill("p", prompt, params))
        assert made.blocks.free == 2
        run(made, generate("again", prompt, params))
        assert cached(made, "again") == 20
        assert_answers(made, "again", prompt, params)


def test_cached_blocks_that_come_back_into_use_are_not_counted_as_room() -> None:
    with bench(num_blocks=8, caching=True) as made:
        run(made, generate("first", prompt_of(20), sampled(1)))
        reservation = made.blocks.reserve(3)
        assert reservation is not None
        made.submit(generate("again", prompt_of(20), sampled(4)))
        assert not made.step(), "six blocks are needed, five are there, cached or not"
        assert made.blocks.free == 5
        reservation.cancel()
        made.run()
        assert cached(made, "again") == 16


def test_the_cache_gives_way_to_those_who_need_room() -> None:
    with bench(num_blocks=8, caching=True) as made:
        run(made, generate("first", prompt_of(20), sampled(1)))
        run(made, generate("other", prompt_of(28, 1), sampled(1)))
        assert_answers(made, "other", prompt_of(28, 1), sampled(1))
        run(made, generate("again", prompt_of(20), sampled(1)))
        assert cached(made, "again") <= 4, "the end of a prefix goes before its beginning"


def test_what_a_failed_work_has_computed_or_read_is_not_found_again() -> None:
    prompt = prompt_of(20)
    with bench(caching=True, max_num_batched_tokens=12) as made:
        made.submit(generate("fails", prompt))
        made.step()
        made.runner.fails = True
        made.run()
        made.runner.fails = False
        assert isinstance(made.events["fails"][-1], WorkFailed)
        run(made, generate("again", prompt))
        assert cached(made, "again") == 0
        assert_answers(made, "again", prompt, GREEDY)
        assert made.blocks.free == 32


def test_who_has_lost_its_published_beginning_takes_no_part_of_another_chain() -> None:
    """It would hold its own beginning and pin the other's: more than the pool has."""
    prompt, params = prompt_of(20), sampled(12)
    longer = (*prompt, *prompt_of(2, 1))
    with bench(12, caching=True, max_num_seqs=2, max_num_batched_tokens=12) as made:
        run(made, generate("before", prompt_of(12), sampled(1)))
        made.submit(generate("fails", prompt, params))
        made.submit(generate("longer", longer, params))
        made.submit(generate("same", prompt, params))
        made.runner.fails = True
        made.step()
        made.runner.fails = False
        assert isinstance(made.events["fails"][-1], WorkFailed)
        made.run()
        assert_answers(made, "longer", longer, params)
        assert_answers(made, "same", prompt, params)
        assert made.blocks.free == 12


@pytest.mark.parametrize(
    ("error", "hit"), [(RequestError("no such grammar"), 16), (InternalError("no numbers"), 0)]
)
def test_only_a_fault_of_ours_makes_what_was_computed_doubtful(error: BatonError, hit: int) -> None:
    prompt = prompt_of(20)
    with bench(caching=True) as made:
        run(made, generate("first", prompt))
        made.submit(generate("fails", prompt))
        plan = made.scheduler.schedule().plan
        made.runner.run(plan)
        made.scheduler.postprocess(plan, [error])
        run(made, generate("again", prompt))
        assert cached(made, "again") == hit
