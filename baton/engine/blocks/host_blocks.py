"""Memory for blocks that the KV pool had to give up: ordinary, private memory of this process."""

import ctypes
import mmap

from baton.core.errors import SettingsError
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.machine.host_memory import available_memory


class HostBlocks:
    """Slots of one block each, committed at once: running out of it stops the start.

    Whoever copies sees to it that nobody writes what he reads nor reads what he writes. A copy
    lets other threads run.
    """

    def __init__(self, pool: KvPool, num_slots: int) -> None:
        self._num_slots = num_slots
        self._block_bytes = pool.block_bytes
        self._map = _committed(num_slots * pool.block_bytes)
        self._slots = ctypes.c_char.from_buffer(self._map)
        self._blocks = ctypes.c_char.from_buffer(pool.view)
        self._first_slot = ctypes.addressof(self._slots)
        self._first_block = ctypes.addressof(self._blocks)

    @property
    def num_slots(self) -> int:
        return self._num_slots

    def keep(self, block: int, slot: int) -> None:
        """Copies a block of the pool into a slot."""
        ctypes.memmove(self._slot_at(slot), self._block_at(block), self._block_bytes)

    def bring(self, slot: int, block: int) -> None:
        """Copies a slot into a block of the pool."""
        ctypes.memmove(self._block_at(block), self._slot_at(slot), self._block_bytes)

    def close(self) -> None:
        """Before the pool is closed; a second call does nothing."""
        if self._map.closed:
            return
        del self._slots, self._blocks  # they hold the mappings
        self._map.close()

    def _slot_at(self, slot: int) -> int:
        return self._first_slot + slot * self._block_bytes

    def _block_at(self, block: int) -> int:
        return self._first_block + block * self._block_bytes


def _committed(size: int) -> mmap.mmap:
    """`size` zero bytes, every page of them present."""
    available = available_memory()
    if size > available:  # the kernel would not refuse: it would kill somebody
        raise _too_big(size, f"{available} are available")
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    try:
        return mmap.mmap(-1, size, flags=flags)
    except (OSError, OverflowError) as error:
        raise _too_big(size, str(error)) from error


def _too_big(size: int, reason: str) -> SettingsError:
    return SettingsError(
        f"host memory of {size} bytes for KV blocks cannot be allocated ({reason}): "
        "lower --kv-offloading-size"
    )
