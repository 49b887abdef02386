"""Where an engine keeps KV: blocks for the model, and slots for what the pool gives up."""

from typing import Protocol

from baton.core.layout import LayoutDescriptor
from baton.engine.blocks.host_blocks import HostBlocks
from baton.engine.blocks.host_cache import Slots
from baton.engine.blocks.kv_pool import KvPool


class BlockMemory(Protocol):
    """Memory of blocks, wherever it lies. The three changes are the engine's thread's alone."""

    @property
    def layout(self) -> LayoutDescriptor: ...

    @property
    def num_blocks(self) -> int: ...

    @property
    def block_bytes(self) -> int: ...

    def zero_block(self, block: int) -> None: ...

    def zero_tail(self, block: int, num_tokens: int) -> None:
        """All but the first `num_tokens` tokens, in each of the block's rows."""
        ...

    def copy_block(self, source: int, target: int) -> None: ...

    def close(self) -> None: ...


class BlockSlots(Slots, Protocol):
    def close(self) -> None:
        """Before the pool is closed; a second call does nothing."""
        ...


class Storage(Protocol):
    def pool(self, layout: LayoutDescriptor, num_blocks: int) -> BlockMemory:
        """Raises SettingsError where there is no room for it."""
        ...

    def slots(self, pool: BlockMemory, num_slots: int) -> BlockSlots:
        """Of a pool that came from here. Raises SettingsError where there is no room for them."""
        ...


class HostStorage:
    """Everything in this machine's memory, where the model computes too."""

    def pool(self, layout: LayoutDescriptor, num_blocks: int) -> BlockMemory:
        return KvPool(layout, num_blocks)

    def slots(self, pool: BlockMemory, num_slots: int) -> BlockSlots:
        assert isinstance(pool, KvPool)
        return HostBlocks(pool, num_slots)
