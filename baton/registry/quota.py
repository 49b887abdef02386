"""What a tenant may use, and whether one more request fits. Pure: moments are handed in, in seconds."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

MINUTE = 60.0
ENDLESS = 1e18  # in a bucket without a limit, so that it is full when it gets one


class Bound(IntEnum):
    """Which of the limits is reached. The numbers are the script's in `redis_commons`."""

    NONE = 0
    CONCURRENT = 1
    REQUESTS = 2
    TOKENS = 3


@dataclass(frozen=True, slots=True)
class Quota:
    """None: as much as it likes. A tenant that rested may use a whole minute's worth at once."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrent_requests: int | None = None

    @property
    def is_limited(self) -> bool:
        return self != UNLIMITED

    def shared_by(self, gateways: int) -> "Quota":
        """Each one's part, where they cannot count together."""
        return Quota(
            _part(self.requests_per_minute, gateways),
            _part(self.tokens_per_minute, gateways),
            None
            if self.concurrent_requests is None
            else max(1, self.concurrent_requests // gateways),
        )


UNLIMITED = Quota()


def _part(amount: float | None, gateways: int) -> float | None:
    return None if amount is None else amount / gateways


@dataclass(frozen=True, slots=True)
class Verdict:
    """`bound` NONE: granted and counted. Else `wait` seconds until the limit would let it in; what
    is left of the minute's requests and tokens may be less than nothing.
    """

    bound: Bound
    wait: float
    requests_left: float
    tokens_left: float


@dataclass(frozen=True, slots=True)
class Level:
    """Of a bucket that holds a minute's worth and refills evenly. Below zero it has debts: what a
    request costs in the end is known when it has gone by.
    """

    amount: float
    at: float  # seconds, when it was that much

    def now(self, per_minute: float, now: float) -> float:
        return min(per_minute, self.amount + max(0.0, now - self.at) * per_minute / MINUTE)


class Account:
    """One tenant's. `running` counts its requests that have not ended."""

    def __init__(self) -> None:
        self.running = 0
        self._levels: dict[str, Level] = {}

    def decide(self, quota: Quota, tokens: float, now: float) -> Verdict:
        """Counts the request if it is granted. One that costs more than a minute's worth is let in
        when the bucket is full.
        """
        requests_left, tokens_left = self.left(quota, now)
        bound, wait = Bound.NONE, 0.0
        if quota.concurrent_requests is not None and self.running >= quota.concurrent_requests:
            bound, wait = Bound.CONCURRENT, 1.0
        elif (rate := quota.requests_per_minute) is not None and requests_left < 1:
            bound, wait = Bound.REQUESTS, (1 - requests_left) * MINUTE / rate
        elif (rate := quota.tokens_per_minute) is not None and tokens_left < min(tokens, rate):
            bound, wait = Bound.TOKENS, (min(tokens, rate) - tokens_left) * MINUTE / rate
        verdict = Verdict(bound, wait, requests_left, tokens_left)
        if bound is not Bound.NONE:
            return verdict
        self.running += 1
        self.set(requests_left - 1, tokens_left - tokens, now)
        return replace(verdict, requests_left=requests_left - 1, tokens_left=tokens_left - tokens)

    def left(self, quota: Quota, now: float) -> tuple[float, float]:
        """Requests and tokens."""
        found = []
        for name, rate in (("r", quota.requests_per_minute), ("t", quota.tokens_per_minute)):
            level = self._levels.get(name)
            full = ENDLESS if rate is None else rate
            found.append(full if level is None else level.now(full, now))
        return found[0], found[1]

    def set(self, requests: float, tokens: float, now: float) -> None:
        self._levels = {"r": Level(requests, now), "t": Level(tokens, now)}

    def settle(self, quota: Quota, requests: float, tokens: float, now: float) -> None:
        """It has used so many more than was counted, or less than nothing of them."""
        requests_left, tokens_left = self.left(quota, now)
        self.set(requests_left - requests, tokens_left - tokens, now)


def numbers(quota: Quota) -> tuple[float, float, int]:
    """For a script: none is -1."""

    def plain(value: Any) -> Any:
        return -1 if value is None else value

    return (
        plain(quota.requests_per_minute),
        plain(quota.tokens_per_minute),
        plain(quota.concurrent_requests),
    )
