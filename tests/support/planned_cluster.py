"""A cluster that a planner sees and changes, under a virtual clock: its load is what a test says."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from baton.cluster.planner.observation import Costs, Observation, SeenWorker, Times
from baton.cluster.planner.planner import Flip, Plan, Planner, Scale
from baton.core.step_totals import StepSums, StepTotals
from baton.core.worker_info import Role

COSTS = Costs(step=0.01, sequence=0.001, context=0.0, unread_token=1e-4)
TICK = 5.0  # seconds


@dataclass
class PlannedCluster:
    """`load(at)` gives workers' worth of reading, and tokens per second of writing."""

    planner: Planner
    load: Callable[[float], tuple[float, float]]
    counts: dict[Role, int]
    at: float = 0.0
    changes: list[tuple[float, Scale | Flip]] = field(default_factory=list)
    last: Plan | None = None

    def __post_init__(self) -> None:
        self.workers = {
            f"{role.value}-{n}": SeenWorker(
                f"{role.value}-{n}", role, f"host:{n}", True, total_blocks=1000, costs=COSTS
            )
            for role, count in self.counts.items()
            for n in range(count)
        }
        self._number = 100

    def run(self, seconds: float) -> None:
        end = self.at + seconds
        while self.at < end:
            self._work()
            plan = self.last = self.planner.decide(self._observation())
            for action in plan.actions:
                self.changes.append((self.at, action))
                self._carry_out(action)
            self.at += TICK

    def count(self, role: Role) -> int:
        return len([one for one in self.workers.values() if one.role is role])

    def _observation(self) -> Observation:
        return Observation(self.at, tuple(self.workers.values()), 0, Times(), Times())

    def _work(self) -> None:
        """Each role's load is shared out; nobody works more than all of the time."""
        busy, tokens = self.load(self.at)
        readers, writers = self.count(Role.PREFILL), self.count(Role.DECODE)
        for name, worker in self.workers.items():
            reading, writing = worker.steps.reading, worker.steps.writing
            if worker.role is Role.PREFILL:
                seconds = TICK * min(1.0, busy / readers)
                reading = reading.plus(StepSums(10, seconds, 0, 0, int(seconds * 1e4)))
                unread = int(max(0.0, busy - readers) / readers * TICK * 1e4)
                worker = replace(worker, unread_tokens=unread, busy=2 if unread else 1)
            else:
                share = int(TICK * tokens / writers)
                writing = writing.plus(StepSums(50, 0.5, share, share * 100))
            self.workers[name] = replace(worker, steps=StepTotals(writing, reading))

    def _carry_out(self, action: Scale | Flip) -> None:
        if isinstance(action, Flip):
            worker = self.workers[action.worker_id]
            self.workers[action.worker_id] = replace(worker, role=action.role)
            return
        while self.count(action.role) < action.count:
            self._number += 1
            name = f"{action.role.value}-{self._number}"
            self.workers[name] = SeenWorker(
                name, action.role, f"host:{self._number}", True, total_blocks=1000, costs=COSTS
            )
        while self.count(action.role) > action.count:
            gone = [name for name, one in self.workers.items() if one.role is action.role][-1]
            del self.workers[gone]
