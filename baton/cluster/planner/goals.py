"""What a planner is to hold, and how far it may go for it."""

from dataclasses import dataclass

from baton.cluster.planner.size import Size


@dataclass(frozen=True, slots=True)
class Goals:
    """None: any time is good enough."""

    ttft: float | None = None  # seconds until the first token
    itl: float | None = None  # seconds between two tokens


@dataclass(frozen=True, slots=True)
class Limits:
    least: Size
    most: Size
    most_workers: int  # of both roles together

    @property
    def told(self) -> str:
        return f"{self.least} to {self.most}, {self.most_workers} in all"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. What is quickly undone is decided quickly."""

    longest_gap: float = 60.0  # between two observations that are compared
    flip_after: float = 10.0  # that a surplus lasts before one of it gets the other role
    leave_after: float = 120.0  # that it lasts before one of it is drained
    settle: float = 10.0  # after a change, before the next one of that role
