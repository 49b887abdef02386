"""An event loop whose time jumps to the next timer: code that waits runs unchanged, in no time."""

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from baton.core.errors import InternalError

T = TypeVar("T")

BEGIN = 1e6  # seconds; so that nothing takes the clock's first moment for none at all


class VirtualLoop(asyncio.SelectorEventLoop):
    """Where nothing can happen any more, InternalError is raised instead of waiting for ever."""

    def __init__(self) -> None:
        self._now = BEGIN
        super().__init__(_Jumping(self))
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _Jumping(selectors.SelectSelector):
    """Instead of waiting for sockets it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)  # what a signal wakes the loop by
        if ready:
            return ready
        if timeout is None:
            raise InternalError("a simulation waits for something that cannot happen any more")
        if timeout > 0:
            self._loop.jump(timeout)
        return []


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`. Until it returns, `time.monotonic` is the loop's time as well: on a real
    loop the two are one clock, and the gateway relies on that.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        with _monotonic(loop):
            return runner.run(work)


@contextmanager
def _monotonic(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    real = time.monotonic
    time.monotonic = loop.time
    try:
        yield
    finally:
        time.monotonic = real
