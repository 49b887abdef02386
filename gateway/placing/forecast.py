"""What was predicted of one placement, and what became of it: from there the gateway learns. Pure."""

from dataclasses import dataclass

from gateway.placing.learned import Learned
from gateway.placing.placement import Decision, Pair
from gateway.placing.scoring import Terms


@dataclass(slots=True)
class Actual:
    """As far as it has come. Seconds."""

    ttft: float | None = None  # from the placement on
    cached_tokens: int | None = None  # of the prompt, where it was read
    exposed: float | None = None  # transfer behind the end of prefill
    admitted: float | None = None  # when an engine began to read the prompt, from the placement on
    transferred: float | None = None  # when its end was heard of, from the placement on
    tokens: int = 0  # told, of all choices
    last: float | None = None  # when the latest was, from the placement on

    def itl(self, choices: int) -> float | None:
        """From one token to the next, on the average; what a hand-off exposes is in it."""
        after = self.tokens / choices - 1
        if self.ttft is None or self.last is None or after <= 0:
            return None
        return (self.last - self.ttft) / after


class Forecast:
    """Times are seconds on one clock, which whoever tells of them has."""

    def __init__(
        self, decision: Decision, learned: Learned, choices: int, placed_at: float
    ) -> None:
        self.decision = decision
        self.actual = Actual()
        self._learned = learned
        self._choices = choices
        self.placed_at = placed_at

    @property
    def predicted(self) -> Terms:
        return self.decision.options[0].terms

    @property
    def itl(self) -> float | None:
        """Measured."""
        return self.actual.itl(self._choices)

    def admitted(self, cached_tokens: int, now: float) -> None:
        self.actual.cached_tokens = cached_tokens
        self.actual.admitted = now - self.placed_at

    def told(self, count: int, now: float, whole: bool = True) -> None:
        """So many tokens came. `whole` False: not when they were drawn, as of a search."""
        since = now - self.placed_at
        if self.actual.ttft is None:
            self.actual.ttft = since
            if whole:
                self._learn_first(since)
        self.actual.tokens += count
        self.actual.last = since

    def transferred(self, num_bytes: int, exposed: float, now: float) -> None:
        self.actual.exposed = exposed
        self.actual.transferred = now - self.placed_at
        placement = self.decision.placement
        if isinstance(placement, Pair):
            ids = placement.prefill.instance_id, placement.decode.instance_id
            self._learned.links.add(*ids, num_bytes, exposed)

    def _learn_first(self, ttft: float) -> None:
        predicted = self.predicted
        rest = max(0.0, ttft - predicted.wait - predicted.read)
        paired = isinstance(self.decision.placement, Pair)
        (self._learned.relayed if paired else self._learned.alone).add(rest)
