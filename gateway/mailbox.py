"""A bounded letterbox that many may write to and one reads, and that can be shut."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from baton.core.errors import BatonError, UnavailableError

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Writers wait while it is full, so a slow reader slows them down instead of filling memory.

    Once shut, what is written is dropped and nobody waits. After `fail` the reader gets the error
    as soon as it reads next.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._letters: deque[T] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._shut = False
        self._error: BatonError | None = None

    async def put(self, letter: T) -> None:
        while not self._room.is_set():
            await self._room.wait()
        if self._shut:
            return
        self._letters.append(letter)
        self._arrived.set()
        if len(self._letters) >= self._size:
            self._room.clear()

    async def get(self, patience: float) -> T:
        """Raises UnavailableError when nothing comes within `patience` seconds."""
        if not self._arrived.is_set():
            try:
                async with asyncio.timeout(patience):
                    await self._arrived.wait()
            except TimeoutError as error:
                raise UnavailableError(f"no word from the worker for {patience:g} s") from error
        if self._error is not None:
            raise self._error
        letter = self._letters.popleft()
        self._room.set()
        if not self._letters:
            self._arrived.clear()
        return letter

    def fail(self, error: BatonError) -> None:
        self._error = error
        self._arrived.set()

    def shut(self) -> None:
        self._shut = True
        self._letters.clear()
        self._arrived.clear()
        self._room.set()
