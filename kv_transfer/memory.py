"""A worker's KV pool as the hand-off sees it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


class Memory(Protocol):
    """One shareable allocation. Block b is the run of `block_bytes` at `b * block_bytes`.

    After the blocks comes one page that holds no block: the canary of the probe read.
    """

    @property
    def fd(self) -> int:
        """A memfd of `size` bytes, owned by the pool."""
        ...

    @property
    def size(self) -> int: ...

    @property
    def view(self) -> memoryview:
        """All `size` bytes, writable."""
        ...

    @property
    def block_bytes(self) -> int: ...

    @property
    def canary_offset(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Run:
    """`length` bytes at `source` in the sender's memory, wanted at `target` in the receiver's."""

    source: int
    target: int
    length: int


def runs_of(sources: Iterable[int], targets: Iterable[int], block_bytes: int) -> list[Run]:
    """Byte runs that copy block to block; neighbours on both sides become one run."""
    runs: list[Run] = []
    for source, target in zip(sources, targets, strict=True):
        start, end = source * block_bytes, target * block_bytes
        last = runs[-1] if runs else None
        if last and last.source + last.length == start and last.target + last.length == end:
            runs[-1] = Run(last.source, last.target, last.length + block_bytes)
        else:
            runs.append(Run(start, end, block_bytes))
    return runs


def batches(runs: Iterable[Run], max_bytes: int) -> Iterator[list[Run]]:
    """The same bytes in the same order, at most `max_bytes` at a time; long runs are cut."""
    batch: list[Run] = []
    room = max_bytes
    for run in runs:
        done = 0
        while done < run.length:
            length = min(room, run.length - done)
            batch.append(Run(run.source + done, run.target + done, length))
            done, room = done + length, room - length
            if room == 0:
                yield batch
                batch, room = [], max_bytes
    if batch:
        yield batch
