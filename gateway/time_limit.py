"""A bound on each of many waits in a row, for the price of a number each.

`asyncio.timeout` asks the event loop for a timer per wait, and a stream waits twice per token. Here one
timer looks after all waits of a stream: it fires when the wait that it was set for would have been too
long, and is set again where another has begun meanwhile.
"""

import asyncio
import math
from collections.abc import Callable


class TimeLimit:
    """One wait at a time. `late` is called, on the loop, once a wait has lasted for its `seconds`."""

    def __init__(self, late: Callable[[], None]) -> None:
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._due: float | None = None  # on the loop's clock; None: nobody waits
        self._timer: asyncio.TimerHandle | None = None
        self._fires = math.inf  # when it does

    def begin(self, seconds: float) -> None:
        self._due = due = self._time() + seconds
        if self._fires > due:
            self._set(due)

    def end(self) -> None:
        """Of the wait; the timer stays for the next one."""
        self._due = None

    def close(self) -> None:
        """Nothing is called any more, unless another wait begins."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._fires = None, math.inf

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._fires = self._loop.call_at(due, self._look), due

    def _look(self) -> None:
        self._timer, self._fires = None, math.inf
        if self._due is None:
            return
        if self._due > self._time():
            self._set(self._due)
        else:
            self._due = None
            self._late()
