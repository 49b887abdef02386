"""A pool that peers cannot read, for models that compute on the host: its blocks lie in memory of its
own, and reach others through slots alone.
"""

from collections.abc import Sequence

from baton.core.layout import LayoutDescriptor
from baton.engine.blocks.host_blocks import HostBlocks
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.blocks.storage import BlockMemory, BlockSlots


class FakeDevicePool(KvPool):
    def stage(self, num_slots: int) -> "FakeStage":
        return FakeStage(self, num_slots)


class FakeStage:
    """`limit` slots at most, where it is set: hand-offs wait for each other."""

    limit: int | None = None

    def __init__(self, pool: FakeDevicePool, num_slots: int) -> None:
        self.pool = pool
        self.num_slots = min(num_slots, self.limit or num_slots)
        self.memory = KvPool(pool.layout, self.num_slots)
        self.sent: list[int] = []  # blocks, in the order of their copies
        self.landed: list[int] = []

    def to_host(self, blocks: Sequence[int], slots: Sequence[int]) -> None:
        for block, slot in zip(blocks, slots, strict=True):
            self._at(self.memory, slot)[:] = self._at(self.pool, block)
        self.sent += blocks

    def to_device(self, slots: Sequence[int], blocks: Sequence[int]) -> None:
        for slot, block in zip(slots, blocks, strict=True):
            self._at(self.pool, block)[:] = self._at(self.memory, slot)
        self.landed += blocks

    def close(self) -> None:
        self.memory.close()

    def _at(self, memory: KvPool, place: int) -> memoryview:
        size = memory.block_bytes
        return memory.view[place * size : (place + 1) * size]


class FakeDeviceStorage:
    def pool(self, layout: LayoutDescriptor, num_blocks: int) -> BlockMemory:
        return FakeDevicePool(layout, num_blocks)

    def slots(self, pool: BlockMemory, num_slots: int) -> BlockSlots:
        assert isinstance(pool, KvPool)
        return HostBlocks(pool, num_slots)
