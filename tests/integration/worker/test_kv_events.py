"""A real worker's Watch stream: a snapshot, what is stored and removed, and what a late reader gets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from baton.core.kv_events import KvChange
from baton.core.worker_info import Role
from baton.rpc import wire
from baton.v1 import worker_pb2, worker_pb2_grpc
from baton.worker.settings import WorkerSettings
from gateway.prefixes.prefix_index import PrefixIndex
from gateway.prefixes.prompt_chain import Naming, PromptChain
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, prompt_of
from tests.support.worker_pair import Served, generate_request, serving

SIZE = HASH_MODEL.layout(16).block_bytes


class Watch:
    """What the stream tells, gathered."""

    def __init__(self, served: Served) -> None:
        self._served = served
        stub: worker_pb2_grpc.WorkerServiceAsyncStub = worker_pb2_grpc.WorkerServiceStub(
            served.channel
        )
        self._stream: Any = stub.Watch(worker_pb2.WatchRequest())
        self.changes: list[KvChange] = []
        self.index = PrefixIndex()

    async def until(self, number: int) -> None:
        async with asyncio.timeout(10):
            while self.index.number("w") != number:
                message = await self._stream.read()
                if message.HasField("kv"):
                    self.changes.append(wire.kv_change_from_pb(message.kv))
                    assert self.index.hear("w", self.changes[-1])

    async def until_heard(self) -> None:
        await self._served.until_idle()
        await self.until(self._served.worker.blocks.kv_number)

    def held(self, prompt: tuple[int, ...]) -> int:
        """Tokens."""
        naming = Naming(self._served.worker.info.fingerprint)
        return 128 * self.index.held(PromptChain(prompt).keys(naming)).get("w", 0)

    def cancel(self) -> None:
        self._stream.cancel()


async def read(served: Served, prompt: tuple[int, ...]) -> None:
    messages: AsyncIterator[Any] = served.generate(generate_request(None, prompt, GREEDY))
    assert [m async for m in messages]


async def test_what_is_stored_and_given_up_is_told_in_order() -> None:
    async with serving(Role.DECODE, num_blocks=24) as served:
        watch = Watch(served)
        await watch.until_heard()
        assert watch.changes == [KvChange(0, 0, snapshot=True)]
        first, second = prompt_of(300), prompt_of(300, salt=1)
        await read(served, first)
        await watch.until_heard()
        assert watch.held((*first, 1)) == 256
        await read(served, second)
        await watch.until_heard()
        assert watch.held((*second, 1)) == 256
        assert watch.held((*first, 1)) < 256, "24 blocks do not hold both"
        assert any(change.removed for change in watch.changes)
        assert not any(change.snapshot for change in watch.changes[1:])
        late = Watch(served)
        await late.until_heard()
        assert [change.snapshot for change in late.changes] == [True]
        assert late.index.keys_of("w") == watch.index.keys_of("w")
        watch.cancel()
        late.cancel()


async def test_what_goes_to_host_memory_is_told_with_its_place() -> None:
    settings = WorkerSettings(
        model="test",
        kv_cache_memory_bytes=24 * SIZE,
        kv_offloading_size=64 * SIZE / 2**30,
        max_num_seqs=4,
    )
    async with serving(Role.DECODE, settings=settings) as served:
        watch = Watch(served)
        prompts = [prompt_of(300, salt) for salt in range(3)]
        for prompt in prompts:
            await read(served, prompt)
        await watch.until_heard()
        assert [watch.held((*prompt, 1)) for prompt in prompts] == [256] * 3
        pool, host = watch.index.keys_of("w")
        assert len(pool | host) == 6
        assert len(host) >= 4
        await read(served, prompts[0])  # comes back
        await watch.until_heard()
        keys = PromptChain(prompts[0]).keys(Naming(served.worker.info.fingerprint))
        assert set(keys) <= watch.index.keys_of("w")[0]
        watch.cancel()


async def test_a_reader_whom_events_have_overtaken_gets_a_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("baton.engine.blocks.kv_log.KvLog.__init__.__defaults__", (1, 4))
    async with serving(Role.DECODE) as served:
        watch = Watch(served)
        await watch.until_heard()
        blocks = served.worker.blocks
        with blocks._lock:  # ten strides within the time that a reader waits
            for number in range(10):
                blocks._log.stored(0, bytes([number]) * 8, 8)  # type: ignore[arg-type]
        served.worker.board.touch()
        await watch.until_heard()
        assert [change.snapshot for change in watch.changes] == [True, True]
        assert len(watch.index.keys_of("w")[0]) == 10
        watch.cancel()


async def test_a_worker_without_a_prefix_cache_holds_nothing() -> None:
    settings = WorkerSettings(
        model="test", kv_cache_memory_bytes=64 * SIZE, enable_prefix_caching=False
    )
    async with serving(Role.DECODE, settings=settings) as served:
        watch = Watch(served)
        await read(served, prompt_of(300))
        await watch.until_heard()
        assert watch.changes == [KvChange(0, 0, snapshot=True)]
        watch.cancel()
