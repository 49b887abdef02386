"""Tokens per second of each worker, from what its engine has counted by then and by now. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from baton.core.step_totals import StepTotals

WINDOW = 4.0  # seconds that a rate looks back
APART = 0.4  # seconds between two looks at least: nobody wants a rate of less


@dataclass(frozen=True, slots=True)
class TokenRates:
    read: float  # tokens of prompts, per second
    written: float  # of answers


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    totals: Mapping[str, StepTotals]


class Throughput:
    """Knows what it was shown while somebody looked: the first look has no rates."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()

    def rates(self, totals: Mapping[str, StepTotals], now: float) -> dict[str, TokenRates]:
        """By instance id, as `totals` are."""
        looks = self._looks
        while len(looks) > 1 and looks[1].at <= now - WINDOW:
            looks.popleft()
        if looks and looks[0].at <= now - 3 * WINDOW:
            looks.clear()  # nobody has looked for a while: it would be a mean over the gap
        rates = {}
        if looks and looks[0].at < now:
            before, seconds = looks[0].totals, now - looks[0].at
            for instance_id in before.keys() & totals.keys():
                rates[instance_id] = _between(before[instance_id], totals[instance_id], seconds)
        if not looks or looks[-1].at <= now - APART:
            looks.append(_Look(now, dict(totals)))
        return rates


def _between(before: StepTotals, after: StepTotals, seconds: float) -> TokenRates:
    reading = after.reading.minus(before.reading)
    writing = after.writing.minus(before.writing)
    written = reading.sequences + writing.sequences
    return TokenRates(reading.read_tokens / seconds, written / seconds)
