"""How fast the line moves while somebody waits in it."""

from collections import deque

REMEMBERED = 64  # gaps between departures
ENOUGH = 16  # of them make a judgement that may refuse somebody


class Pace:
    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=REMEMBERED)  # seconds
        self._since: float | None = None  # the last departure, or when the first came to wait

    def waiting(self, now: float) -> None:
        """Somebody waits."""
        if self._since is None:
            self._since = now

    def departed(self, now: float, still_waiting: bool) -> None:
        """Somebody got room. What departs from an empty line says nothing of how fast one moves."""
        if self._since is not None:
            self._gaps.append(now - self._since)
        self._since = now if still_waiting else None

    def emptied(self) -> None:
        """Those who waited have left."""
        self._since = None

    @property
    def is_known(self) -> bool:
        return len(self._gaps) >= ENOUGH

    def rate(self, now: float) -> float | None:
        """Departures per second; None: too few were seen. A line that stands still is slower the
        longer it does.
        """
        if len(self._gaps) < 2:
            return None
        mean = sum(self._gaps) / len(self._gaps)
        standing = now - self._since if self._since is not None else 0.0
        seconds = sum(self._gaps) + max(0.0, standing - mean)
        return len(self._gaps) / seconds if seconds > 0 else None
