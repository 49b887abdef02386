"""Host memory through which KV blocks of a device reach other workers, and theirs the device."""

from typing import Protocol, runtime_checkable

from baton.engine.engine import Engine
from kv_transfer.staging import Stage, num_slots_for

LENT_BYTES = 2 << 30  # of blocks that peers can read at once, unless a single sequence is longer


class ClosableStage(Stage, Protocol):
    def close(self) -> None: ...


@runtime_checkable
class StagedMemory(Protocol):
    """A pool that peers cannot read."""

    def stage(self, num_slots: int) -> ClosableStage: ...


def stage_for(engine: Engine) -> ClosableStage | None:
    """None: peers read the pool itself. Raises SettingsError where the host has no room for it."""
    memory = engine.memory
    if not isinstance(memory, StagedMemory):
        return None
    longest = memory.layout.blocks_for(engine.max_model_len)
    lent = max(longest, min(engine.blocks.total, LENT_BYTES // memory.block_bytes))
    return memory.stage(num_slots_for(lent, memory.block_bytes))
