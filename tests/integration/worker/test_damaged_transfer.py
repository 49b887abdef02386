"""Bytes that change between two workers: repaired or refused, never decoded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from baton.core.errors import TransferError
from baton.core.worker_info import Role
from baton.rpc.errors import from_rpc_error
from baton.worker.settings import WorkerSettings
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.kv_damage import Damage, wrap_readers
from tests.support.worker_pair import (
    BLOCKS,
    Served,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)
from tests.support.worker_relay import drain, relay

pytestmark = pytest.mark.integration

PROMPT, PARAMS = prompt_of(300), sampled(max_tokens=40, n=2)


@asynccontextmanager
async def comparing(transport: str) -> AsyncIterator[tuple[Served, Served]]:
    """Prefill, and a decode worker that asks for checksums."""
    settings = WorkerSettings(
        model="test",
        worker_id="decode",
        kv_transport=transport,
        kv_checksums="on",
        kv_cache_memory_bytes=BLOCKS * HASH_MODEL.layout(16).block_bytes,
    )
    async with (
        serving(Role.PREFILL) as prefill,
        serving(Role.DECODE, settings=settings) as decode,
    ):
        yield prefill, decode
        await prefill.until_idle()
        await decode.until_idle()


@pytest.mark.parametrize("transport", ["shm", "tcp"])
async def test_a_block_that_was_damaged_once_is_repaired_and_the_answer_is_right(
    monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    wrap_readers(monkeypatch, Damage(1).wrap)
    async with comparing(transport) as (prefill, decode):
        relayed = await relay(prefill, decode, PROMPT, PARAMS)
        assert relayed.answer == hash_answer(HASH_MODEL, PROMPT, PARAMS)
        assert relayed.report.transport == transport
        assert relayed.report.repaired_blocks == 1
        assert decode.worker.reading().repaired_blocks == 1
        await decode.until_idle()


async def test_a_way_that_always_damages_fails_the_hand_off_and_nothing_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage = Damage(1_000_000)
    wrap_readers(monkeypatch, damage.wrap)
    async with comparing("shm") as (prefill, decode):
        handoff = handoff_to(prefill)
        generation = aiter(decode.generate(generate_request(handoff, PROMPT, PARAMS)))
        assert (await anext(generation)).HasField("reserved")
        reading = prefill.prefill(prefill_request(handoff, PROMPT, PARAMS))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(generation)  # not one message before the error
        error = from_rpc_error(caught.value)
        assert isinstance(error, TransferError)
        assert "wrong checksum" in str(error)
        assert not (await drain(reading))[-1].released.confirmed
        await prefill.until_idle()
        await decode.until_idle()
        damage.left = 0
        relayed = await relay(prefill, decode, PROMPT, PARAMS)
        assert relayed.answer == hash_answer(HASH_MODEL, PROMPT, PARAMS)
        seen, lent = decode.worker.reading(), prefill.worker.reading()
        assert seen.handoffs["pull_failed"] == 1
        assert (seen.external_queries, seen.external_hits) == (2 * len(PROMPT), len(PROMPT))
        assert seen.wrong_blocks >= 3
        assert lent.reclaimed_blocks == HASH_MODEL.layout(16).blocks_for(len(PROMPT))
