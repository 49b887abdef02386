"""The phases of something that takes time, one behind the other. Moments are `time.monotonic` seconds."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baton.telemetry.tracing import Attributes, Span


class Lane:
    """Phases below a span, one behind the other: each begins in the moment in which the last one
    ended, so that no time between them is lost.
    """

    def __init__(self, span: "Span", at: float) -> None:
        self._span = span
        self._open: Span | None = None
        self.reached = at

    def phase(
        self,
        name: str,
        attributes: "Attributes | None" = None,
        error: str | None = None,
        at: float | None = None,
    ) -> None:
        """One that has ended, now or at `at`."""
        self.open(name)
        self.shut(attributes, error, at)

    def open(self, name: str) -> "Span":
        """One that lasts until `turn` or `shut`."""
        self._open = self._span.child(name, self.reached)
        return self._open

    def turn(self, name: str, attributes: "Attributes | None" = None) -> "Span":
        """The open one ends, with these attributes, and the next one begins."""
        self.shut(attributes)
        return self.open(name)

    def shut(
        self,
        attributes: "Attributes | None" = None,
        error: str | None = None,
        at: float | None = None,
    ) -> None:
        """Ends the one that is open, if there is one."""
        if self._open is None:
            return
        self.reached = max(self.reached, time.monotonic() if at is None else at)
        if attributes:
            self._open.set(attributes)
        self._open.end(self.reached, error)
        self._open = None
