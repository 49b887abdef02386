"""Cores that idle workers of one machine lend to those that have something to do.

Two workers on two cores have one each, because threads that wait for each other on a busy core slow
both down many times. But with one user only one of them works at a time. So the workers of a machine
share a page of memory in which each says whether it computes; who begins a step takes the cores of
those that do not, for this step. A lender that wakes up meanwhile has to share its core for the rest
of that step: at four users that costs more than it gives. So cores are lent for steps of a single
sequence only, and not for a while after two workers were seen at work side by side.
"""

import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from baton.core.errors import SettingsError

CALM = 3.0  # seconds without two workers at work from which cores are lent
LONGEST_STEP = 30.0  # seconds; whoever says for longer that it computes has died in a step
# Threads, whether it computes, when it said so last, when it met others; a cache line each.
_SLOT = struct.Struct("<IIdd40x")
MAX_WORKERS = mmap.PAGESIZE // _SLOT.size


class Cores(Protocol):
    """How many threads a step may use."""

    def begin(self, sequences: int) -> int:
        """Before each step, of so many sequences."""
        ...

    def rest(self) -> None:
        """Until the next step, which nobody waits for yet."""
        ...


@dataclass(frozen=True, slots=True)
class OwnCores:
    """Always the same ones."""

    threads: int

    def begin(self, sequences: int) -> int:
        return self.threads

    def rest(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class Slot:
    """What one worker says. Times in seconds, of the machine's monotonic clock."""

    threads: int  # that it owns; 0: nobody has joined here
    computes: bool
    said: float
    met: float = -CALM  # when it last computed beside others from one step to the next

    def works(self, now: float) -> bool:
        return self.computes and now - self.said < LONGEST_STEP


def share_of(slots: Sequence[Slot], own: int, now: float) -> int:
    """Threads for a step of the worker in slot `own`: its own, and when all is calm its part of those
    at rest. Cores that cannot be divided evenly go to the first workers.
    """
    if any(now - slot.met < CALM for slot in slots if slot.threads):
        return slots[own].threads
    busy = [i for i, slot in enumerate(slots) if slot.threads and (i == own or slot.works(now))]
    idle = sum(slot.threads for i, slot in enumerate(slots) if i not in busy)
    each, rest = divmod(idle, len(busy))
    return slots[own].threads + each + (busy.index(own) < rest)


class CoreBoard:
    """One worker's place on the page. Used by the engine's thread alone.

    `path` is a file of one page that all workers of the machine map. Joining an occupied slot takes
    it over: its owner was restarted.
    """

    def __init__(
        self,
        path: str,
        slot: int,
        threads: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._page = _mapped(path)
        self._slot = slot
        self._threads = threads
        self._clock = clock
        self._met = -CALM
        self._in_company = False  # others computed when our last step began
        self._say(computes=False)

    def begin(self, sequences: int) -> int:
        now, slots = self._clock(), self._slots()
        company = any(slot.works(now) for i, slot in enumerate(slots) if i != self._slot)
        if company and self._in_company:
            self._met = now
        self._in_company = company
        self._say(computes=True)
        if sequences > 1:  # others will have something to do soon
            return self._threads
        return share_of(self._slots(), self._slot, now)

    def rest(self) -> None:
        self._in_company = False
        self._say(computes=False)

    def _say(self, computes: bool) -> None:
        place = self._slot * _SLOT.size
        said = (self._threads, int(computes), self._clock(), self._met)
        _SLOT.pack_into(self._page, place, *said)

    def _slots(self) -> list[Slot]:
        said = _SLOT.iter_unpack(self._page[: mmap.PAGESIZE])
        return [Slot(threads, bool(computes), when, met) for threads, computes, when, met in said]


@contextmanager
def shared_page() -> Iterator[str]:
    """The path of a new board. Its memory is ours and that of those who have mapped it: nothing
    stays behind, however we end.
    """
    fd = os.memfd_create("baton-cores", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, mmap.PAGESIZE)
        yield f"/proc/{os.getpid()}/fd/{fd}"
    finally:
        os.close(fd)


def cores_for(threads: int, board: str, slot: int) -> Cores:
    """`board` is empty where nobody lends anything. Raises SettingsError where it cannot be used."""
    return CoreBoard(board, slot, threads) if board else OwnCores(threads)


def _mapped(path: str) -> mmap.mmap:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"--core-board {path} cannot be opened: {error.strerror}") from error
    try:
        return mmap.mmap(fd, mmap.PAGESIZE)
    except (OSError, ValueError) as error:
        raise SettingsError(f"--core-board {path} is no file of one page: {error}") from error
    finally:
        os.close(fd)
