"""When a need is acted on: at once where there are too few, later where there are too many. Pure.

Between the need that adds a worker and the one that takes it away again lies a band, so that what
hovers about a whole number changes nothing.
"""

import math
from collections import deque

BAND = 0.15  # share that a need may grow by without needing the worker that was taken away


class Steadiness:
    """Of one role."""

    def __init__(self) -> None:
        self._needs: deque[tuple[float, float]] = deque()  # when, and how many workers
        self._changed_at = -math.inf

    def note(self, now: float, workers: float, remembered: float) -> None:
        """Forgets what is older than `remembered` seconds, but for one."""
        self._needs.append((now, workers))
        while len(self._needs) > 1 and self._needs[1][0] <= now - remembered:
            self._needs.popleft()

    def changed(self, now: float) -> None:
        """The number of workers did."""
        self._changed_at = now

    def settled(self, now: float, seconds: float) -> bool:
        return now - self._changed_at >= seconds

    def lacking(self, count: int) -> int:
        """By how many the last two needs were above it."""
        last = self._last_two
        return max(0, math.ceil(min(last) - 1e-9) - count) if len(last) == 2 else 0

    def may_spare(self, count: int) -> bool:
        """The last two needs leave one over; it may be so for long."""
        return max(self._last_two, default=math.inf) * (1 + BAND) <= count - 1

    @property
    def _last_two(self) -> list[float]:
        return [workers for _, workers in list(self._needs)[-2:]]

    def spare(self, count: int, now: float, seconds: float) -> bool:
        """One fewer would have been enough for so long, and is not new."""
        if not self._needs or self._needs[0][0] > now - seconds:
            return False
        if not self.settled(now, seconds):
            return False
        recent = [workers for at, workers in self._needs if at >= now - seconds]
        return max(recent, default=0.0) * (1 + BAND) <= count - 1
