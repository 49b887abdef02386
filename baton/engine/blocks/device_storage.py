"""KV on a device, and in host memory what its pool gives up."""

import torch

from baton.core.layout import LayoutDescriptor
from baton.engine.blocks.device_pool import DevicePool
from baton.engine.blocks.host_stage import HostStage
from baton.engine.blocks.storage import BlockMemory, BlockSlots


class DeviceStorage:
    def __init__(self, device: torch.device) -> None:
        self._device = device

    def pool(self, layout: LayoutDescriptor, num_blocks: int) -> BlockMemory:
        return DevicePool(layout, num_blocks, self._device)

    def slots(self, pool: BlockMemory, num_slots: int) -> BlockSlots:
        assert isinstance(pool, DevicePool)
        return StagedSlots(pool.stage(num_slots, "--kv-offloading-size"))


class StagedSlots:
    """A `HostStage` that one process has for itself."""

    def __init__(self, stage: HostStage) -> None:
        self._stage: HostStage | None = stage
        self._num_slots = stage.num_slots

    @property
    def num_slots(self) -> int:
        return self._num_slots

    def keep(self, block: int, slot: int) -> None:
        self._open().to_host((block,), (slot,))

    def bring(self, slot: int, block: int) -> None:
        self._open().to_device((slot,), (block,))

    def close(self) -> None:
        if self._stage is not None:
            self._stage.close()
            self._stage = None

    def _open(self) -> HostStage:
        assert self._stage is not None, "closed"
        return self._stage
