"""Slots in place of a pool: who waits, who gets them back, and that nobody does while they are written."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from baton.core.errors import TransferError, UnavailableError
from baton.engine.blocks.kv_pool import KvPool
from kv_transfer.memory import Run
from kv_transfer.staging import Landing, Lending, StagedReader
from tests.support.kv_pair import LAYOUT


class HeldStage:
    """Copies wait for `let_go`."""

    def __init__(self) -> None:
        self.started, self.let_go = threading.Event(), threading.Event()
        self.let_go.set()
        self.num_slots = 8
        self.landed: list[tuple[int, int]] = []  # slot, block

    @property
    def memory(self) -> KvPool:
        raise AssertionError("not looked at")

    def to_host(self, blocks: Sequence[int], slots: Sequence[int]) -> None:
        self.started.set()
        assert self.let_go.wait(10)

    def to_device(self, slots: Sequence[int], blocks: Sequence[int]) -> None:
        self.landed += zip(slots, blocks, strict=True)


@pytest.fixture
def stage() -> HeldStage:
    return HeldStage()


async def test_slots_are_given_in_the_order_of_asking(stage: HeldStage) -> None:
    lending = Lending(stage, range(4))
    assert await lending.reserve("a", 3)
    large = asyncio.create_task(lending.reserve("b", 2))
    small = asyncio.create_task(lending.reserve("c", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not large.done()
    assert not small.done(), "it would overtake"

    lending.end("a")

    assert await large
    assert await small
    assert lending.free == 1
    lending.close()


async def test_a_segment_is_in_slots_of_its_own_when_it_is_named(stage: HeldStage) -> None:
    lending = Lending(stage, range(4))
    await lending.reserve("a", 3)

    first, second = await lending.copied("a", [9, 8]), await lending.copied("a", [7])

    assert first == (0, 1)
    assert second == (2,)
    lending.end("a")
    assert lending.free == 4
    lending.close()


async def test_an_end_while_waiting_lets_the_others_on(stage: HeldStage) -> None:
    lending = Lending(stage, range(4))
    await lending.reserve("a", 3)
    waits = asyncio.create_task(lending.reserve("b", 4))
    behind = asyncio.create_task(lending.reserve("c", 1))
    await asyncio.sleep(0)

    lending.end("b")

    assert not await waits
    assert await behind
    assert await lending.copied("b", [1]) is None
    lending.close()


async def test_one_who_gives_up_waiting_leaves_the_line(stage: HeldStage) -> None:
    lending = Lending(stage, range(4))
    await lending.reserve("a", 3)
    waits = asyncio.create_task(lending.reserve("b", 4))
    behind = asyncio.create_task(lending.reserve("c", 1))
    await asyncio.sleep(0)

    waits.cancel()

    assert await behind
    lending.close()


async def test_slots_go_back_when_nobody_writes_to_them(stage: HeldStage) -> None:
    lending = Lending(stage, range(4))
    await lending.reserve("a", 2)
    stage.let_go.clear()
    copy = asyncio.create_task(lending.copied("a", [5]))
    await asyncio.to_thread(stage.started.wait, 10)

    lending.end("a")
    assert lending.free == 2
    stage.let_go.set()

    assert await copy is None, "nobody is to be told of it"
    assert lending.free == 4
    lending.close()


async def test_more_than_all_slots_is_refused_and_so_is_a_copy_at_the_end(stage: HeldStage) -> None:
    lending = Lending(stage, range(4))
    with pytest.raises(TransferError, match="5 blocks do not fit into the 4"):
        await lending.reserve("a", 5)
    await lending.reserve("b", 1)
    lending.close()
    with pytest.raises(UnavailableError):
        await lending.copied("b", [1])


class FakeReader:
    transport, progress = "fake", 0

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def probe(self, offset: int, length: int) -> bytes:
        return b""

    def read(self, runs: Sequence[Run], wanted: object = None) -> None:
        self.runs += runs

    def close(self) -> None:
        """Nothing is open."""


class SizedStage(HeldStage):
    def __init__(self, memory: KvPool) -> None:
        super().__init__()
        self._memory = memory

    @property
    def memory(self) -> KvPool:
        return self._memory


def test_a_read_goes_through_an_area_in_parts() -> None:
    size = LAYOUT.block_bytes
    with KvPool(LAYOUT, 16) as memory:
        stage, reader = SizedStage(memory), FakeReader()
        landing = Landing(stage, 2)
        sources, targets = (4, 5, 9), (20, 30, 31)

        StagedReader(reader, landing).read(
            [Run(s * size, t * size, size) for s, t in zip(sources, targets, strict=True)]
        )

    area = stage.landed[0][0]
    assert reader.runs[0] == Run(4 * size, area * size, 2 * size), "neighbours there and here"
    assert [block for _, block in stage.landed] == [20, 30, 31]
    assert len(reader.runs) == 2


def test_a_read_that_is_not_wanted_any_more_does_not_wait_for_an_area() -> None:
    with KvPool(LAYOUT, 16) as memory:
        landing = Landing(SizedStage(memory), 2)
        held = [landing.slots() for _ in range(4)]
        for area in held:
            area.__enter__()
        with pytest.raises(TransferError, match="cancelled"), landing.slots(lambda: False):
            raise AssertionError("there was none")
        for area in held:
            area.__exit__(None, None, None)
