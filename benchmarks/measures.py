"""What a run of requests comes to. Pure: samples in, numbers out; all times in seconds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One request as its client saw it."""

    sent: float  # on a monotonic clock, before connecting
    ended: float
    arrivals: tuple[float, ...] = ()  # of each message that brought tokens
    prompt_tokens: int = 0  # as the server counts
    output_tokens: int = 0  # as the server counts
    cached_tokens: int | None = None  # of the prompt, if the server tells
    error: str | None = None
    hand_off: Mapping[str, Any] | None = None  # the answer's `kv_transfer_params`

    @property
    def ttft(self) -> float | None:
        """Time to the first token."""
        return self.arrivals[0] - self.sent if self.arrivals else None

    @property
    def itl(self) -> list[float]:
        """Gaps between messages: what a reader sees as jitter."""
        return [later - earlier for earlier, later in pairwise(self.arrivals)]

    @property
    def tpot(self) -> float | None:
        """Mean time per output token after the first."""
        if not self.arrivals or self.output_tokens < 2:
            return None
        return (self.arrivals[-1] - self.arrivals[0]) / (self.output_tokens - 1)


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    p99: float
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A run. The three times are None where no request got so far."""

    requests: int
    errors: Mapping[str, int]
    seconds: float  # from the first request sent to the last one ended
    prompt_tokens: int
    output_tokens: int
    ttft: Spread | None
    itl: Spread | None
    tpot: Spread | None

    @property
    def output_tokens_per_second(self) -> float:
        return self.output_tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Ratio:
    """A by B, round by round."""

    median: float
    low: float
    high: float
    rounds: int


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between the two nearest ranks; `values` is not empty, `q` in [0, 1]."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(median=median(values), p99=quantile(values, 0.99), count=len(values))


def summarise(samples: Sequence[Sample]) -> Summary:
    """`samples` is not empty. A request that failed counts as an error and in no time."""
    good = [s for s in samples if s.error is None]
    return Summary(
        requests=len(samples),
        errors=Counter(s.error for s in samples if s.error is not None),
        seconds=max(s.ended for s in samples) - min(s.sent for s in samples),
        prompt_tokens=sum(s.prompt_tokens for s in good),
        output_tokens=sum(s.output_tokens for s in good),
        ttft=spread([s.ttft for s in good if s.ttft is not None]),
        itl=spread([gap for s in good for gap in s.itl]),
        tpot=spread([s.tpot for s in good if s.tpot is not None]),
    )


def ratios(pairs: Sequence[tuple[Summary, Summary]]) -> dict[str, Ratio]:
    """A / B of each metric's median and p99 (of the rate for tokens/s), over rounds that have both."""
    found: dict[str, list[tuple[float, float]]] = {}
    for a, b in pairs:
        values_b = headline(b)
        for name, value in headline(a).items():
            if values_b.get(name):
                found.setdefault(name, []).append((value, values_b[name]))
    return {name: ratio_of(values) for name, values in found.items()}


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """A / B of one number; there is at least one round, and no B is 0."""
    values = [a / b for a, b in pairs]
    return Ratio(median(values), min(values), max(values), len(values))


def headline(summary: Summary) -> dict[str, float]:
    """The numbers that two servers are compared by."""
    times = {"ttft": summary.ttft, "itl": summary.itl, "tpot": summary.tpot}
    numbers: dict[str, float] = {}
    for name, value in times.items():
        if value is not None:
            numbers[name] = value.median
            numbers[f"{name}_p99"] = value.p99
    return {**numbers, "output_tokens_per_second": summary.output_tokens_per_second}
