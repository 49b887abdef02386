"""A running answer moves from one decode worker to another, and nobody can tell from its tokens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from baton.core.errors import BatonError, RefusedError, TransferError
from baton.core.sampling_params import BeamSearch, Grammar, SamplingParams
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role, WorkerState
from baton.engine.config import EngineConfig
from baton.engine.runners.torch_runner import load_torch_runner
from baton.rpc.errors import from_rpc_error
from baton.v1 import kv_transfer_pb2_grpc as pb_grpc
from baton.worker.drain import drain
from gateway.structured.json_schema import JsonOptions, json_grammar
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.grammars import EOS, ROWS, write_tokenizer
from tests.support.hash_answer import hash_answer
from tests.support.kv_pair import kinds_of, opened, until
from tests.support.models import make
from tests.support.moving import Stream, begun, move, reserved
from tests.support.worker_pair import (
    Served,
    generate_request,
    hand_over_request,
    handoff_to,
    serving,
)

SLOW = replace(HASH_MODEL, step_seconds=0.005)
PROMPT = prompt_of(37)
PARAMS = sampled(120)


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Served, Served]]:
    async with serving(Role.DECODE, SLOW) as source, serving(Role.DECODE, SLOW) as target:
        yield source, target
        for served in (source, target):
            await served.until_idle()
            served.worker.blocks.check_integrity()
            assert served.worker.sender.counts().open_leases == 0


def joined(here: Stream, there: Stream, choice: int = 0) -> tuple[TokenRecord, ...]:
    """By position; what both told must be equal, but for its log-probabilities."""
    first, second = here.of(choice), there.of()
    end = first[-1].position
    repeated = [r for r in second if r.position <= end]
    told = {r.position: replace(r, choice=0, logprobs=None) for r in first}
    assert all(told[r.position] == replace(r, logprobs=None) for r in repeated)
    moved = (replace(r, choice=choice) for r in second if r.position > end)
    return (*first, *moved)


async def refused(call: Any) -> BatonError:
    async with asyncio.timeout(30):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drained(call)
    return from_rpc_error(caught.value)


async def drained(call: Any) -> None:
    async for _ in call:
        pass


@pytest.mark.parametrize("forgets", [0, 1, 7])
@pytest.mark.parametrize("tokens", [1, 11, 12, 40])
async def test_an_answer_that_was_moved_equals_the_undisturbed_one(
    tokens: int, forgets: int
) -> None:
    params = replace(PARAMS, logprobs=1)
    async with two() as (source, target):
        here = await begun(source, PROMPT, params, tokens)
        there = await move(
            source, target, here, PROMPT, params, forgets=min(forgets, len(here.of()))
        )
        await here.whole()
        await there.whole()
        assert (joined(here, there),) == hash_answer(HASH_MODEL, PROMPT, params)
        assert here.left == [0]
        assert here.events[-2:] == ["handed_over", "finished"]
        assert there.events[:2] == ["reserved", "transferred"]


async def test_each_choice_moves_by_itself_while_the_others_go_on() -> None:
    params = replace(PARAMS, n=3)
    async with two() as (source, target):
        here = await begun(source, PROMPT, params, 5)
        second = await move(source, target, here, PROMPT, params, choice=1)
        await here.until(lambda s: len(s.of(0)) >= len(s.of(1)) + 3)
        third = await move(source, target, here, PROMPT, params, choice=2)
        await asyncio.gather(here.whole(), second.whole(), third.whole())
        expected = hash_answer(HASH_MODEL, PROMPT, params)
        assert here.left == [1, 2]
        assert here.of(0) == expected[0]
        assert joined(here, second, 1) == expected[1]
        assert joined(here, third, 2) == expected[2]


async def test_an_answer_moves_on_and_back_and_what_is_known_there_does_not_travel() -> None:
    params = replace(PARAMS, max_tokens=200)
    async with two() as (source, target):
        first = await begun(source, PROMPT, params, 20)
        second = await move(source, target, first, PROMPT, params)
        await first.whole()
        known = first.ids()
        await second.until(lambda s: len(s.of()) >= 20)
        handoff = handoff_to(target)
        answered = (*known, *(r.token_id for r in second.of() if r.position >= 37 + len(known)))
        back = await reserved(source, handoff, PROMPT, params, answered)
        over = target.hand_over(hand_over_request(handoff, second.request_id))
        assert (await over.read()).HasField("lent")
        await second.whole()
        assert (await over.read()).released.confirmed
        await back.whole()
        assert back.report.cached_tokens >= 48  # of what it wrote itself
        assert back.report.tokens + back.report.cached_tokens == 36 + len(known) + len(
            [r for r in second.of() if r.position >= 37 + len(known)]
        )
        records = {r.position: r for s in (first, second, back) for r in s.records}
        assert (
            tuple(records[p] for p in sorted(records)) == hash_answer(HASH_MODEL, PROMPT, params)[0]
        )


async def test_what_cannot_move_is_refused_and_not_disturbed() -> None:
    beams = replace(sampled(20, n=2), beam=BeamSearch())
    async with two() as (source, _):
        here = await begun(source, PROMPT, PARAMS, 3)
        searching = generate_request(None, PROMPT, beams)
        search = Stream(source.generate(searching), searching.request_id)
        await search.until(lambda s: "tokens" in s.events)
        waiting = generate_request(handoff_to(source), PROMPT, PARAMS)  # whose Prefill never comes
        call = source.generate(waiting)
        await call.read()
        for name, choice in (
            ("nobody", 0),
            (here.request_id, 1),
            (search.request_id, 0),
            (waiting.request_id, 0),
        ):
            asked = hand_over_request(handoff_to(source), name, choice)
            assert isinstance(await refused(source.hand_over(asked)), RefusedError)
        call.cancel()
        await search.whole()
        await here.whole()
        assert (here.of(),) == hash_answer(HASH_MODEL, PROMPT, PARAMS)
        assert here.left == []


async def test_a_hand_off_is_lent_by_once() -> None:
    async with two() as (source, _):
        here = await begun(source, PROMPT, replace(PARAMS, n=2), 3)
        handoff = handoff_to(source)
        over = source.hand_over(hand_over_request(handoff, here.request_id, 0))
        assert (await over.read()).HasField("lent")
        again = source.hand_over(hand_over_request(handoff, here.request_id, 1))
        assert isinstance(await refused(again), RefusedError)
        over.cancel()
        await here.whole()
        assert here.left == [0]
        assert here.of(1) == hash_answer(HASH_MODEL, PROMPT, replace(PARAMS, n=2))[1]


async def test_a_target_that_gave_up_first_leaves_the_choice_where_it_is() -> None:
    async with two() as (source, target):
        here = await begun(source, PROMPT, PARAMS, 5)
        handoff = handoff_to(source)
        there = await reserved(target, handoff, PROMPT, PARAMS, here.ids())
        await until(lambda: source.worker.sender.counts().waiting_pulls == 1)
        there.call.cancel()
        await until(lambda: source.worker.sender.counts().waiting_pulls == 0)
        source.worker.sender.abort(handoff.transfer_id, handoff.ticket, "the gateway knows")
        over = source.hand_over(hand_over_request(handoff, here.request_id))
        assert isinstance(await refused(over), RefusedError)
        await here.whole()
        assert (here.of(),) == hash_answer(HASH_MODEL, PROMPT, PARAMS)


@pytest.mark.parametrize(
    "how", ["the ticket is never used", "the hand-off is aborted", "the target dies as it reads"]
)
async def test_a_hand_over_that_fails_leaves_nothing_and_the_answer_goes_on_from_the_log(
    how: str,
) -> None:
    async with two() as (source, target):
        here = await begun(source, PROMPT, PARAMS, 10)
        handoff = handoff_to(source)
        over = source.hand_over(hand_over_request(handoff, here.request_id))
        assert (await over.read()).HasField("lent")
        await here.whole()
        assert here.events[-2:] == ["handed_over", "finished"]
        assert source.worker.load().leased_blocks > 0
        if how == "the ticket is never used":
            over.cancel()
        elif how == "the hand-off is aborted":
            source.worker.sender.abort(handoff.transfer_id, handoff.ticket, how)
            assert not (await over.read()).released.confirmed
        else:
            stub: Any = pb_grpc.KvTransferServiceStub(source.channel)
            pull = await opened(stub, handoff)
            assert kinds_of(await pull.read()) == ["lease", "segment", "last"]
            pull.cancel()
            assert not (await over.read()).released.confirmed
        await source.until_idle()
        lost = generate_request(handoff, PROMPT, PARAMS, here.ids())
        assert isinstance(await refused(target.generate(lost)), TransferError)
        there = await reserved(target, None, PROMPT, PARAMS, here.ids())
        await there.whole()
        assert (joined(here, there),) == hash_answer(HASH_MODEL, PROMPT, PARAMS)


async def test_a_source_that_dies_ends_the_pull_with_a_clean_error() -> None:
    async with serving(Role.DECODE, SLOW) as target:
        async with serving(Role.DECODE, SLOW) as source:
            here = await begun(source, PROMPT, PARAMS, 10)
            there = await reserved(target, handoff_to(source), PROMPT, PARAMS, here.ids())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await there.whole()
        assert isinstance(from_rpc_error(caught.value), TransferError)
        await target.until_idle()


async def test_an_answer_that_differs_from_what_was_told_is_not_gone_on_with() -> None:
    async with two() as (source, target):
        here = await begun(source, PROMPT, PARAMS, 10)
        handoff = handoff_to(source)
        ids = here.ids()
        wrong = (*ids[:4], (ids[4] + 1) % 97, *ids[5:])
        there = await reserved(target, handoff, PROMPT, PARAMS, wrong)
        over = source.hand_over(hand_over_request(handoff, here.request_id))
        error = await refused(there.call)
        assert isinstance(error, TransferError)
        assert f"its token at {len(PROMPT) + 4} is another than was told" in str(error)
        assert [r.WhichOneof("event") async for r in over] == ["lent", "released"]


async def test_a_worker_that_drains_hands_over_and_leaves() -> None:
    endless = replace(PARAMS, max_tokens=2000, ignore_eos=True)
    async with two() as (source, target), asyncio.timeout(40):
        here = await begun(source, PROMPT, endless, 5)
        draining = asyncio.create_task(drain(source.worker, 600.0, asyncio.Event()))
        await source.until(lambda load: load.state is WorkerState.DRAINING)
        there = await move(source, target, here, PROMPT, endless)
        await here.whole()
        await draining
        assert source.worker.idle
        await there.until(lambda s: len(s.of()) >= 40)
        [expected] = hash_answer(HASH_MODEL, PROMPT, replace(endless, max_tokens=300))
        both = joined(here, there)
        assert both == expected[: len(both)]
        there.call.cancel()


SCHEMA = json_grammar({"type": "object", "minProperties": 40}, JsonOptions())
REAL: dict[str, SamplingParams] = {
    "greedy": SamplingParams(max_tokens=150, seed=5, temperature=0.0, ignore_eos=True),
    "penalties": SamplingParams(
        max_tokens=150, seed=5, frequency_penalty=1.9, repetition_penalty=0.7, ignore_eos=True
    ),
    "grammar": SamplingParams(max_tokens=150, seed=5, grammar=Grammar(SCHEMA)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tokenizer(tmp_path_factory.mktemp("models") / "llama")
    return make("Llama", folder, vocab_size=ROWS, eos_token_id=EOS)


@pytest.mark.parametrize("case", REAL)
async def test_a_real_models_answer_moves_token_by_token_equal(folder: Path, case: str) -> None:
    """The KV itself moves: nothing is computed again, so that nothing can come out differently."""
    params = REAL[case]
    config = EngineConfig()
    async with (
        serving(Role.DECODE, runner=load_torch_runner(str(folder), config)) as source,
        serving(Role.DECODE, runner=load_torch_runner(str(folder), config)) as target,
    ):
        whole = await begun(source, PROMPT, params, 1)
        await whole.whole()
        here = await begun(source, PROMPT, params, 20)
        there = await move(source, target, here, PROMPT, params, forgets=2)
        await here.whole()
        await there.whole()
        assert joined(here, there) == whole.of()
        await source.until_idle()
        await target.until_idle()
