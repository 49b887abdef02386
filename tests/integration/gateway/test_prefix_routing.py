"""Requests go where their prefix is: a gateway's own view of real workers on the hash model."""

import asyncio
import logging

import pytest

from baton.core.kv_events import KvChange
from gateway.prefixes.prompt_chain import PromptChain
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.hash_cluster import HashCluster, hash_cluster

PARAMS = sampled(40)


def sample(cluster: HashCluster, name: str, **labels: str) -> float:
    registry = cluster.metrics._page.registry
    value = registry.get_sample_value(name, {"model_name": "m", "engine": "0", **labels})
    assert value is not None
    return value


def expected(prompt: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(record.token_id for record in hash_answer(HASH_MODEL, prompt, PARAMS)[0])


def keys_of(cluster: HashCluster, prompt: tuple[int, ...]) -> list[int]:
    return PromptChain(prompt).keys(cluster.workers.all()[0].naming)


async def test_the_turns_of_a_conversation_stay_with_the_workers_that_have_it() -> None:
    """Each first turn goes to another pair, for the first ones are busy with something else then."""
    async with hash_cluster("p0", "p1", "d0", "d1") as cluster:
        by_id = {worker.info.worker_id: worker for worker in cluster.workers.all()}
        turns = {home: prompt_of(300, salt) for salt, home in enumerate(("p0d0", "p0d1", "p1d0"))}
        for home, prompt in turns.items():
            busy = [worker for worker_id, worker in by_id.items() if worker_id not in home]
            for worker in busy:
                worker.take(unread=1000)
            tokens, reading = await cluster.ask(prompt, PARAMS)
            for worker in busy:
                worker.give_back(unread=1000)
            assert tokens == expected(prompt)
            assert f"{reading.prefill_worker}{reading.decode_worker}" == home
            assert reading.cached_tokens == 0
        for home, prompt in turns.items():
            following = (*prompt, *expected(prompt), 1, 2, 3)
            tokens, reading = await cluster.ask(following, PARAMS)
            assert tokens == expected(following)
            assert f"{reading.prefill_worker}{reading.decode_worker}" == home
            assert reading.cached_tokens == 288
        assert not cluster.workers.prefixes.audit.drifts
        assert sample(cluster, "baton_prefix_predicted_tokens_total") == 3 * 256
        assert sample(cluster, "baton_prefix_cached_tokens_total") == 3 * 288


async def test_a_line_longer_than_the_prefix_sends_the_request_elsewhere() -> None:
    async with hash_cluster("p0", "p1", "d0") as cluster:
        prompt = prompt_of(500)
        assert (await cluster.ask(prompt, PARAMS))[1].prefill_worker == "p0"
        [home] = [w for w in cluster.workers.all() if w.info.worker_id == "p0"]
        home.take(unread=385)
        assert (await cluster.ask((*prompt, 1), PARAMS))[1].prefill_worker == "p1"
        assert cluster.held(prompt) == {"p0": 384, "p1": 384, "d0": 384}
        home.give_back(unread=385)


async def test_both_roles_tell_what_they_hold_and_what_they_gave_up() -> None:
    """Pools of 24 blocks hold one prompt of 20 with its answer."""
    async with hash_cluster("p0", "d0", num_blocks=24) as cluster:
        first, second = prompt_of(300), prompt_of(300, salt=1)
        await cluster.ask(first, PARAMS)
        assert cluster.held((*first, 1)) == {"p0": 256, "d0": 256}
        await cluster.ask(second, PARAMS)
        assert cluster.held((*second, 1)) == {"p0": 256, "d0": 256}
        assert cluster.held((*first, 1)) == {}
        long = prompt_of(100)
        tokens, _ = await cluster.ask(long, PARAMS)
        assert cluster.held((*long, *tokens)) == {"d0": 128}, "only decode has the answer"


async def test_a_worker_that_leaves_is_no_holder_any_more() -> None:
    async with hash_cluster("p0", "d0") as cluster:
        prompt = prompt_of(300)
        await cluster.ask(prompt, PARAMS)
        worker = cluster.served["p0"].worker
        registry = cluster.workers._registry
        registry.leave(worker.info)  # type: ignore[attr-defined]
        worker.board.close()
        await cluster.until(lambda: len(cluster.workers.all()) == 1)
        assert cluster.held(prompt) == {"d0": 256}


async def test_a_gap_is_made_good_by_a_snapshot() -> None:
    async with hash_cluster("p0", "d0") as cluster:
        book = cluster.workers.prefixes
        instance_id = cluster.served["p0"].worker.info.instance_id
        assert not book.index.hear(instance_id, KvChange(5, 9, stored=(1, 2)))
        prompt = prompt_of(300)
        await cluster.ask(prompt, PARAMS)
        assert cluster.held(prompt) == {"p0": 256, "d0": 256}
        assert sample(cluster, "baton_prefix_resyncs_total", reason="gap") == 1
        assert sample(cluster, "baton_prefix_index_size") == 2
        book.index.check_integrity()


@pytest.mark.parametrize(("believes", "drift"), [(True, "less"), (False, "more")])
async def test_a_wrong_belief_is_noticed_by_the_request_that_it_misled_and_mended(
    believes: bool, drift: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The index is made to believe what is not so, as if a message had been wrong."""
    async with hash_cluster("p0", "d0") as cluster:
        book = cluster.workers.prefixes
        prompt = prompt_of(300)
        worker = cluster.workers.all()[1]
        assert worker.info.worker_id == "p0"
        keys = tuple(keys_of(cluster, prompt))
        if not believes:
            await cluster.ask(prompt, PARAMS)
        number = book.index.number(worker.info.instance_id)
        assert number is not None
        plus, minus = (keys, ()) if believes else ((), keys)
        lie = KvChange(number, number, stored=plus, removed=minus)
        assert book.index.hear(worker.info.instance_id, lie)
        with caplog.at_level(logging.WARNING, logger="gateway"):
            reading = (await cluster.ask(prompt, PARAMS))[1]
        assert reading.cached_tokens == (0 if believes else 288)
        assert sample(cluster, "baton_prefix_drifts_total", cached=drift) == 1
        await cluster.until(
            lambda: sample(cluster, "baton_prefix_resyncs_total", reason="drift") == 1
        )
        assert [r.name for r in caplog.records if r.name.startswith("gateway")] == [
            "gateway.prefixes.prefix_book"
        ]
        blocks = cluster.served["p0"].worker.blocks
        true = frozenset(blocks.kv_change(None).stored)
        await cluster.until(lambda: book.index.keys_of(worker.info.instance_id)[0] == true)


async def test_many_at_once_leave_an_index_without_drift() -> None:
    async with hash_cluster("p0", "p1", "d0", "d1", num_blocks=64) as cluster:
        base = prompt_of(280)
        prompts = [(*base[: 140 + 10 * i], i) for i in range(12)]
        for _ in range(2):
            answers = await asyncio.gather(*(cluster.ask(p, PARAMS) for p in prompts))
            assert [tokens for tokens, _ in answers] == [expected(p) for p in prompts]
        await cluster.until_heard()
        for served in cluster.served.values():
            held = cluster.workers.prefixes.index.keys_of(served.worker.info.instance_id)
            assert held[0] == set(served.worker.blocks.kv_change(None).stored)
        assert not cluster.workers.prefixes.audit.drifts
