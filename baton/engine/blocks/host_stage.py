"""Host memory in place of a pool that lies on a device: peers read from it and write into it."""

import ctypes
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from baton.core.errors import SettingsError
from baton.engine.blocks.kv_pool import KvPool

if TYPE_CHECKING:
    from baton.engine.blocks.device_pool import DevicePool

logger = logging.getLogger(__name__)


class HostStage:
    """Slots of one block each in a memfd, page-locked for a CUDA device.

    It knows no owner of a slot. Copies are made when they return; any thread may ask for them.
    """

    def __init__(self, pool: "DevicePool", num_slots: int, flag: str) -> None:
        """Raises SettingsError where the host has no room for it: `flag` is to be lowered."""
        self._pool = pool
        try:
            self._memory = KvPool(pool.layout, num_slots)
        except SettingsError as error:
            size = num_slots * pool.block_bytes
            raise SettingsError(
                f"{size} bytes of host memory for KV blocks of the device cannot be had: lower {flag}"
            ) from error
        flat = torch.frombuffer(
            self._memory.view, dtype=torch.uint8, count=num_slots * pool.block_bytes
        )
        self._slots = flat.view(num_slots, pool.block_bytes)
        self._locked = pool.tensor.device.type == "cuda" and _page_locked(self._memory)

    @property
    def memory(self) -> KvPool:
        """What peers see: slot s is block s of it."""
        return self._memory

    @property
    def num_slots(self) -> int:
        return self._memory.num_blocks

    def to_host(self, blocks: Sequence[int], slots: Sequence[int]) -> None:
        self._pool.to_host(blocks, slots, self._slots)

    def to_device(self, slots: Sequence[int], blocks: Sequence[int]) -> None:
        self._pool.to_device(slots, blocks, self._slots)

    def close(self) -> None:
        """Before the pool is closed, and once nobody copies any more."""
        if self._locked:
            _cuda().cudaHostUnregister(_address_of(self._memory))
            self._locked = False
        del self._slots
        self._memory.close()


def _page_locked(memory: KvPool) -> bool:
    """Unlocked memory works as well, at a fraction of the speed, each copy waited for."""
    code = _cuda().cudaHostRegister(_address_of(memory), memory.size, 0)
    if int(code):
        logger.warning("the memory for hand-offs is not page-locked (CUDA says %s): slower", code)
    return not int(code)


def _cuda() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]


def _address_of(memory: KvPool) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory.view))
