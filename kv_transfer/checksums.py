"""xxh3_64 of each KV block: whether what landed is what was sent."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import xxhash

from baton.core.errors import UnavailableError
from kv_transfer.memory import Memory

AUTO, ON, OFF = "auto", "on", "off"
CHOICES = (AUTO, ON, OFF)

AT_ONCE = 16 << 20  # bytes: a millisecond or two, in which the part before it travels


class Checksums:
    """Computes a sender's in a thread of its own, in the order of asking."""

    def __init__(self, memory: Memory) -> None:
        self.blocks_at_once = max(1, AT_ONCE // memory.block_bytes)
        self._memory = memory
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kv-checksum")
        self._closed = False

    async def of(self, blocks: Sequence[int]) -> tuple[int, ...]:
        """Raises UnavailableError once closed."""
        if self._closed:
            raise UnavailableError("the worker stops")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, checksums_of, self._memory, blocks)

    def close(self) -> None:
        """Afterwards nobody reads the memory for a checksum. What was asked for is still answered."""
        self._closed = True
        self._thread.shutdown()


def checksums_of(memory: Memory, blocks: Iterable[int]) -> tuple[int, ...]:
    """Of whole blocks, in order. Nobody may write to them meanwhile."""
    return tuple(_checksums(memory, blocks))


def wrong_blocks(
    memory: Memory, blocks: Iterable[int], checksums: Iterable[int]
) -> tuple[int, ...]:
    """Places in `blocks` whose bytes have another checksum; as many of these as blocks."""
    found = zip(_checksums(memory, blocks), checksums, strict=True)
    return tuple(place for place, (here, there) in enumerate(found) if here != there)


def _checksums(memory: Memory, blocks: Iterable[int]) -> Iterator[int]:
    size, view = memory.block_bytes, memory.view
    for block in blocks:
        yield xxhash.xxh3_64_intdigest(view[block * size : (block + 1) * size])
