"""A bounded letterbox that many may write to and one reads, and that can be shut."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from baton.core.errors import BatonError, UnavailableError
from gateway.time_limit import TimeLimit

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Writers wait while it is full, so a slow reader slows them down instead of filling memory.

    Once shut, what is written is dropped and nobody waits. After `fail` the reader gets the error
    as soon as it reads next.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._letters: deque[T] = deque()
        self._reader: asyncio.Future[bool] | None = None  # False: it has waited for too long
        self._limit = TimeLimit(self._silent)
        self._room = asyncio.Event()
        self._room.set()
        self._shut = False
        self._error: BatonError | None = None
        self._stopped: list[Callable[[], None]] = []  # writers that wait to be told of room

    async def put(self, letter: T) -> None:
        while not self._room.is_set():
            await self._room.wait()
        if self._shut:
            return
        self._letters.append(letter)
        self._wake(True)
        if len(self._letters) >= self._size:
            self._room.clear()

    def post(self, letter: T) -> bool:
        """Without waiting, even where it is full. False: it is now, and the writer is to stop."""
        if self._shut:
            return True
        self._letters.append(letter)
        self._wake(True)
        if len(self._letters) < self._size:
            return True
        self._room.clear()
        return False

    def when_room(self, go_on: Callable[[], None]) -> None:
        """Calls it once, for a writer that has stopped."""
        self._stopped.append(go_on)

    async def get(self, patience: float) -> T:
        """Raises UnavailableError when nothing comes within `patience` seconds."""
        while not self._letters and self._error is None:
            if not await self._arrival(patience):
                raise UnavailableError(f"no word from the worker for {patience:g} s")
        if self._error is not None:
            raise self._error
        letter = self._letters.popleft()
        if len(self._letters) < self._size and not self._room.is_set():
            self._make_room()
        return letter

    def fail(self, error: BatonError) -> None:
        self._error = error
        self._wake(True)

    def shut(self) -> None:
        self._shut = True
        self._letters.clear()
        self._limit.close()
        self._make_room()

    def _make_room(self) -> None:
        self._room.set()
        stopped, self._stopped = self._stopped, []
        for go_on in stopped:
            go_on()

    async def _arrival(self, patience: float) -> bool:
        self._reader = asyncio.get_running_loop().create_future()
        self._limit.begin(patience)
        try:
            return await self._reader
        finally:
            self._reader = None
            self._limit.end()

    def _silent(self) -> None:
        self._wake(False)

    def _wake(self, heard: bool) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(heard)
