"""What a planner sees of a cluster at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from baton.core.step_totals import NO_TOTALS, StepTotals
from baton.core.worker_info import Role


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a decode worker's step, as the gateway has learned them."""

    step: float
    sequence: float  # per sequence in it
    context: float  # per token that one of them attends to
    unread_token: float  # and of a prompt's token that waits to be read


@dataclass(frozen=True, slots=True)
class SeenWorker:
    worker_id: str
    role: Role  # the next one, where it changes it
    address: str
    serves: bool  # takes requests, or will without being told
    busy: int = 0  # requests that it has
    waiting: int = 0  # of them, not yet in its batch
    unread_tokens: int = 0
    used_blocks: int = 0
    total_blocks: int = 0
    process: int = 0  # counts of another process are no continuation
    steps: StepTotals = NO_TOTALS
    costs: Costs | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Of answers so far: how often a time was at most each of the bounds."""

    bounds: tuple[float, ...] = ()  # seconds, rising; the last is infinite
    counts: tuple[float, ...] = ()  # each with those before it; only grow

    def since(self, before: "Times") -> "Times":
        """Those that came in between; none where another process counts now."""
        if self.bounds != before.bounds:
            return Times()
        grown = tuple(b - a for a, b in zip(before.counts, self.counts, strict=True))
        return Times(self.bounds, grown) if all(g >= 0 for g in grown) else Times()

    @property
    def total(self) -> float:
        return self.counts[-1] if self.counts else 0.0

    def late(self, goal: float) -> float:
        """Share that was certainly above the goal; 0 where there are none."""
        if not self.total:
            return 0.0
        bound = next(i for i, bound in enumerate(self.bounds) if bound >= goal)
        return 1 - self.counts[bound] / self.total


@dataclass(frozen=True, slots=True)
class Observation:
    at: float  # seconds on a clock that never goes back
    workers: Sequence[SeenWorker]
    queued: int = 0  # requests that wait at the gateway
    ttft: Times = Times()
    itl: Times = Times()

    def of(self, role: Role) -> list[SeenWorker]:
        return [worker for worker in self.workers if worker.role is role and worker.serves]
