"""A letterbox that many may write to and one reads, that tells when it is full, and can be shut."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from baton.core.errors import BatonError, UnavailableError
from gateway.time_limit import TimeLimit

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Writers are told to stop where it is full, so a slow reader slows them down instead of filling
    memory: what they have on their way is kept.

    Once shut, what is written is dropped and nobody stops. After `fail` the reader gets the error
    as soon as it reads next.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._letters: deque[T] = deque()
        self._reader: asyncio.Future[bool] | None = None  # False: it has waited for too long
        self._limit = TimeLimit(self._silent)
        self._shut = False
        self._error: BatonError | None = None
        self._stopped: list[Callable[[], None]] = []  # writers that wait to be told of room

    def post(self, letter: T) -> bool:
        """Even where it is full. False: it is now, and the writer is to stop."""
        if self._shut:
            return True
        self._letters.append(letter)
        self._wake(True)
        return len(self._letters) < self._size

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
        if self._stopped and len(self._letters) < self._size:
            self._go_on()
        return letter

    def fail(self, error: BatonError) -> None:
        self._error = error
        self._wake(True)

    def shut(self) -> None:
        self._shut = True
        self._letters.clear()
        self._limit.close()
        self._go_on()

    def _go_on(self) -> None:
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
