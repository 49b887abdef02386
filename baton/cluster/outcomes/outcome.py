"""One request as its client saw it. Times in seconds since the beginning of the run."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum


class Fate(Enum):
    DONE = "done"
    REFUSED = "refused"  # 429, 503 or 504, before the first token
    FAILED = "failed"
    CUT = "cut"  # it still ran when the run was ended


class Gaps:
    """Times between what brought tokens, runs of equal ones as one entry. Two packed arrays, for a
    simulation has millions.
    """

    __slots__ = ("_counts", "_seconds")

    def __init__(self) -> None:
        self._seconds = array("d")
        self._counts = array("Q")

    def add(self, seconds: float, count: int = 1) -> None:
        self._seconds.append(seconds)
        self._counts.append(count)

    def __iter__(self) -> Iterator[tuple[float, int]]:
        return zip(self._seconds, self._counts, strict=True)

    @property
    def total(self) -> float:
        return sum(seconds * count for seconds, count in self)


@dataclass(frozen=True, slots=True)
class Objectives:
    """None: any time is good enough."""

    ttft: float | None = None  # seconds
    itl: float | None = None  # seconds per token behind the first, the mean of one request


@dataclass(slots=True)
class Outcome:
    tenant: str
    due: float  # when it was to be sent
    input_tokens: int
    fate: Fate = Fate.CUT
    sent: float | None = None  # None: never
    first: float | None = None  # when the first token came
    last: float | None = None  # when the last one came
    ended: float | None = None
    output_tokens: int = 0
    cached_tokens: int | None = None  # of the prompt; None: nobody said
    gaps: Gaps = field(default_factory=Gaps)
    refusals: int = 0  # of its tries, each followed by another one but perhaps the last
    retry_after: float | None = None  # seconds, as the last refusal said
    reason: str | None = None  # of the last refusal: `x-baton-reason`
    error: str | None = None

    @property
    def ttft(self) -> float | None:
        """From the first try on: who was told to come back has waited."""
        return None if self.first is None or self.sent is None else self.first - self.sent

    @property
    def itl(self) -> float | None:
        """Mean time per token behind the first; None for a single token."""
        if self.first is None or self.last is None or self.output_tokens < 2:
            return None
        return (self.last - self.first) / (self.output_tokens - 1)

    @property
    def e2e(self) -> float | None:
        return None if self.ended is None or self.sent is None else self.ended - self.sent

    @property
    def late(self) -> float:
        """By how much the sender missed the time."""
        return 0.0 if self.sent is None else self.sent - self.due

    def meets(self, objectives: Objectives) -> bool:
        return self.fate is Fate.DONE and (
            _within(self.ttft, objectives.ttft) and _within(self.itl, objectives.itl)
        )


def _within(value: float | None, limit: float | None) -> bool:
    return limit is None or value is None or value <= limit
