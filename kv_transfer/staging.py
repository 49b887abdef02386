"""Host memory in place of a pool that no peer can read, such as a GPU's: its blocks pass through slots.

A sender lends slots: a hand-off gets as many as it has blocks before its lease is told, or waits its
turn, so that two of them never wait for each other; each segment is copied before it is named. A
receiver reads into areas of a few slots and copies on from there, so what waits for an area waits
for a read, which is bounded.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from baton.core.errors import TransferError, UnavailableError
from kv_transfer.checksums import wrong_blocks
from kv_transfer.memory import Memory, Run
from kv_transfer.transports.base import Reader, Wanted, always, check_wanted

AREAS = 4  # peers that are read from at once
AREA_BYTES = 32 << 20  # read before it is copied on: some milliseconds
LOOK_S = 0.1  # between two looks at whether a read that waits for an area is still wanted


class Stage(Protocol):
    """Slots of one block each. Copies are made when they return; from any thread, side by side."""

    @property
    def memory(self) -> Memory:
        """What peers see: slot s is block s of it."""
        ...

    @property
    def num_slots(self) -> int: ...

    def to_host(self, blocks: Sequence[int], slots: Sequence[int]) -> None: ...

    def to_device(self, slots: Sequence[int], blocks: Sequence[int]) -> None: ...


def area_slots(block_bytes: int) -> int:
    """Of one receiving area."""
    return max(1, AREA_BYTES // block_bytes)


class Staging:
    """The two halves of a stage: the first slots receive, the others are lent."""

    def __init__(self, stage: Stage) -> None:
        self.memory = stage.memory
        size = area_slots(stage.memory.block_bytes)
        self.landing = Landing(stage, size)
        self.lending = Lending(stage, range(AREAS * size, stage.num_slots))


def num_slots_for(lent: int, block_bytes: int) -> int:
    """Of a stage that can lend `lent` blocks at once."""
    return AREAS * area_slots(block_bytes) + lent


class Lending:
    """Slots for what is sent. Call everything on one asyncio loop's thread; copies have another."""

    def __init__(self, stage: Stage, slots: Sequence[int]) -> None:
        self._stage = stage
        self._total = len(slots)
        self._free = deque(slots)
        self._held: dict[str, list[int]] = {}  # by transfer id
        self._filled: dict[str, int] = {}  # slots that were named
        self._copying: dict[str, int] = {}  # copies under way
        self._ended: set[str] = set()  # while a copy for them is under way
        self._waiting: dict[str, tuple[int, asyncio.Future[bool]]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kv-stage")
        self._closed = False

    @property
    def free(self) -> int:
        return len(self._free)

    async def reserve(self, transfer_id: str, count: int) -> bool:
        """Slots for all blocks of a hand-off, in the order of asking. False: `end` came first.

        Raises TransferError for more than there are in all.
        """
        if count > self._total:
            raise TransferError(f"{count} blocks do not fit into the {self._total} of the stage")
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[transfer_id] = (count, turn)
        self._admit()
        try:
            return await turn
        finally:
            self._waiting.pop(transfer_id, None)
            self._admit()

    async def copied(self, transfer_id: str, blocks: Sequence[int]) -> tuple[int, ...] | None:
        """The slots that hold these blocks now, whose bytes are final. None: `end` came first."""
        if self._closed:
            raise UnavailableError("the worker stops")
        held = self._held.get(transfer_id)
        if held is None or transfer_id in self._ended:
            return None
        start = self._filled[transfer_id]
        slots = tuple(held[start : start + len(blocks)])
        self._filled[transfer_id] = start + len(blocks)
        self._copying[transfer_id] = self._copying.get(transfer_id, 0) + 1
        copy = asyncio.get_running_loop().run_in_executor(
            self._thread, self._stage.to_host, blocks, slots
        )
        copy.add_done_callback(lambda _: self._copy_ended(transfer_id))
        await asyncio.shield(copy)
        return slots if transfer_id in self._held and transfer_id not in self._ended else None

    def end(self, transfer_id: str) -> None:
        """The hand-off is over; an unknown one is fine. Slots go back when nobody writes to them."""
        waiting = self._waiting.get(transfer_id)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(False)
        if self._copying.get(transfer_id):
            self._ended.add(transfer_id)
        else:
            self._give_back(transfer_id)

    def close(self) -> None:
        self._closed = True
        self._thread.shutdown()

    def _copy_ended(self, transfer_id: str) -> None:
        self._copying[transfer_id] -= 1
        if not self._copying[transfer_id]:
            del self._copying[transfer_id]
            if transfer_id in self._ended:
                self._ended.discard(transfer_id)
                self._give_back(transfer_id)

    def _give_back(self, transfer_id: str) -> None:
        self._free.extend(self._held.pop(transfer_id, ()))
        self._filled.pop(transfer_id, None)
        self._admit()

    def _admit(self) -> None:
        """Those who wait, in order, until one does not fit."""
        for transfer_id, (count, turn) in list(self._waiting.items()):
            if turn.done():
                continue
            if count > len(self._free):
                return
            self._held[transfer_id] = [self._free.popleft() for _ in range(count)]
            self._filled[transfer_id] = 0
            turn.set_result(True)


class Landing:
    """Areas for what is read. From any thread."""

    def __init__(self, stage: Stage, area: int) -> None:
        """`area`: slots of each."""
        self._stage = stage
        self._area = area
        self._free = [tuple(range(n * area, (n + 1) * area)) for n in range(AREAS)]
        self._changed = threading.Condition()

    @property
    def block_bytes(self) -> int:
        return self._stage.memory.block_bytes

    @property
    def area(self) -> int:
        return self._area

    @contextmanager
    def slots(self, wanted: Wanted = always) -> Iterator[tuple[int, ...]]:
        """An area, for whoever holds it. Raises TransferError where it is not wanted any more."""
        with self._changed:
            while not self._free:
                self._changed.wait(LOOK_S)
                check_wanted(wanted)
            slots = self._free.pop()
        try:
            yield slots
        finally:
            with self._changed:
                self._free.append(slots)
                self._changed.notify()

    def to_device(self, slots: Sequence[int], blocks: Sequence[int]) -> None:
        self._stage.to_device(slots, blocks)

    def to_host(self, blocks: Sequence[int], slots: Sequence[int]) -> None:
        self._stage.to_host(blocks, slots)


class StagedReader:
    """A `Reader` whose targets are blocks of the pool, by way of an area. Runs are of whole blocks."""

    def __init__(self, reader: Reader, landing: Landing) -> None:
        self._reader = reader
        self._landing = landing

    @property
    def transport(self) -> str:
        return self._reader.transport

    @property
    def progress(self) -> int:
        return self._reader.progress

    def probe(self, offset: int, length: int) -> bytes:
        return self._reader.probe(offset, length)

    def read(self, runs: Sequence[Run], wanted: Wanted = always) -> None:
        size = self._landing.block_bytes
        blocks = [
            (run.source + done, (run.target + done) // size)
            for run in runs
            for done in range(0, run.length, size)
        ]
        for start in range(0, len(blocks), self._landing.area):
            part = blocks[start : start + self._landing.area]
            with self._landing.slots(wanted) as slots:
                self._reader.read(_joined([source for source, _ in part], slots, size), wanted)
                used = slots[: len(part)]
                self._landing.to_device(used, [target for _, target in part])

    def close(self) -> None:
        self._reader.close()


def wrong_behind(
    landing: Landing, memory: Memory, blocks: Sequence[int], checksums: Sequence[int]
) -> tuple[int, ...]:
    """`wrong_blocks` of a pool that cannot be read: they are copied back, and what the copies there and
    back have changed is found too.
    """
    wrong: list[int] = []
    for start in range(0, len(blocks), landing.area):
        part = blocks[start : start + landing.area]
        with landing.slots() as slots:
            used = slots[: len(part)]
            landing.to_host(part, used)
            sums = checksums[start : start + len(part)]
            wrong += (start + place for place in wrong_blocks(memory, used, sums))
    return tuple(wrong)


def _joined(sources: Sequence[int], slots: Sequence[int], size: int) -> list[Run]:
    """Slots of an area are neighbours, so neighbouring sources become one run."""
    runs: list[Run] = []
    for source, slot in zip(sources, slots, strict=False):
        last = runs[-1] if runs else None
        if last and last.source + last.length == source:
            runs[-1] = Run(last.source, last.target, last.length + size)
        else:
            runs.append(Run(source, slot * size, size))
    return runs
