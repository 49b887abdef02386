"""What a decision will say, while it is being made."""

from baton.engine.decision import Decision, MemoryOp
from baton.engine.plan import StepPlan
from baton.engine.work import EngineEvent


class Outbox:
    def __init__(self) -> None:
        self._memory: list[MemoryOp] = []
        self._events: list[tuple[str, EngineEvent]] = []

    def say(self, key: str, event: EngineEvent) -> None:
        """To whoever submitted the work."""
        self._events.append((key, event))

    def change(self, *operations: MemoryOp) -> None:
        """To be done to the pool's bytes, in this order."""
        self._memory += operations

    def decided(self, plan: StepPlan) -> Decision:
        """All of it since the last decision."""
        decision = Decision(tuple(self._memory), tuple(self._events), plan)
        self._memory, self._events = [], []
        return decision
