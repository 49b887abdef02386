"""A bound on each of many waits in a row, for the price of a number each.

`asyncio.timeout` asks the event loop for a timer per wait, and a stream waits twice per token. Here one
timer looks after all waits of a stream: it fires when the wait that it was set for would have been too
long, and is set again where another has begun meanwhile.
"""

import asyncio
from collections.abc import Callable


class TimeLimit:
    """One wait at a time. `late` is called, on the loop, once a wait has lasted for its `seconds`."""

    def __init__(self, late: Callable[[], None]) -> None:
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None  # on the loop's clock; None: nobody waits
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float) -> None:
        self._due = due = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > due:
            self._set(due)

    def end(self) -> None:
        """Of the wait; the timer stays for the next one."""
        self._due = None

    def close(self) -> None:
        """Nothing is called any more, unless another wait begins."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._due > self._loop.time():
            self._set(self._due)
        else:
            self._due = None
            self._late()
