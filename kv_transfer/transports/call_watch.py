"""Ends a blocking call that makes no progress, or whose owner closes, from a thread of its own."""

import threading
import time
from typing import Protocol


class Cancellable(Protocol):
    def cancel(self) -> object: ...


class CallWatch:
    """One call at a time: `begin`, any number of `progressed`, `end`. Its thread sleeps in between."""

    def __init__(self, stall_s: float, name: str) -> None:
        self._stall_s = stall_s
        self._state = threading.Condition()
        self._call: Cancellable | None = None
        self._last = 0.0
        self._closed = False
        self.stalled = False  # the last call was ended for want of progress
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def begin(self, call: Cancellable) -> None:
        """After `close` the call is cancelled at once."""
        with self._state:
            self._call, self._last, self.stalled = call, time.monotonic(), False
            if self._closed:
                call.cancel()
            self._state.notify()

    def progressed(self) -> None:
        self._last = time.monotonic()

    def end(self) -> None:
        with self._state:
            self._call = None

    def close(self) -> None:
        """The call under way is cancelled. The thread has ended when this returns."""
        with self._state:
            self._closed = True
            if self._call is not None:
                self._call.cancel()
            self._state.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._state:
            while not self._closed:
                if self._call is None:
                    self._state.wait()
                    continue
                left = self._last + self._stall_s - time.monotonic()
                if left > 0:
                    self._state.wait(left)
                else:
                    self.stalled = True
                    self._call.cancel()
                    self._call = None
