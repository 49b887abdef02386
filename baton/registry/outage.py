"""How long to wait for something that is away, and one line in the log about it."""

import logging
import random

FIRST_DELAY = 0.1  # seconds
LONGEST_DELAY = 2.0  # seconds


def delay_after(failures: int, draw: float) -> float:
    """Seconds to wait after so many failures in a row; `draw` in [0, 1) spreads processes out.

    Between half and all of 0.1 s, doubled per failure up to 2 s.
    """
    whole = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 16))
    return whole * (0.5 + 0.5 * draw)


class Outage:
    """`failed` per failure, `over` per success: the first of each is said, in words given here."""

    def __init__(self, logger: logging.Logger, away: str, back: str) -> None:
        self._logger = logger
        self._away = away
        self._back = back
        self._failures = 0
        self._said_back = False
        self._level = logging.INFO  # of the next good news: that of the bad news before it

    def failed(self, reason: str) -> float:
        """Seconds until the next attempt."""
        self._failures += 1
        if self._failures == 1:
            self._logger.warning("%s: %s; retrying", self._away, reason)
            self._said_back = False
            self._level = logging.WARNING
        return delay_after(self._failures, random.random())

    def over(self) -> None:
        self._failures = 0
        if not self._said_back:
            self._said_back = True
            self._logger.log(self._level, "%s", self._back)
