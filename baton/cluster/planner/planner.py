"""Decides how many workers of each role there shall be. Pure: observations in, plans out."""

from collections.abc import Sequence
from dataclasses import dataclass

from baton.cluster.planner.demand import Need, decode_need, places_seen, prefill_need
from baton.cluster.planner.goals import Goals, Limits, Pace
from baton.cluster.planner.observation import Observation, SeenWorker
from baton.cluster.planner.steadiness import Steadiness
from baton.core.worker_info import ANSWERING, Role


@dataclass(frozen=True, slots=True)
class Scale:
    """So many of the role are wanted; surplus ones are drained."""

    role: Role
    count: int

    def __str__(self) -> str:
        return f"{self.count} {self.role.value} workers are wanted"


@dataclass(frozen=True, slots=True)
class Flip:
    """A worker gets the other role."""

    worker_id: str
    address: str
    role: Role

    def __str__(self) -> str:
        return f"{self.worker_id} is to be a {self.role.value} worker"


Action = Scale | Flip


@dataclass(frozen=True, slots=True)
class Plan:
    """`reasons` say what each role needs and why, whether or not something is to be done."""

    actions: Sequence[Action]
    reasons: Sequence[str]


class Planner:
    """Call `decide` with one observation after the other. It takes for granted that its plans are
    carried out; what did not happen is seen in the next observation.
    """

    def __init__(
        self, goals: Goals, limits: Limits, pace: Pace | None = None, can_flip: bool = True
    ) -> None:
        self._goals = goals
        self._limits = limits
        self._pace = pace or Pace()
        self._can_flip = can_flip
        self._before: Observation | None = None
        self._steadiness = {role: Steadiness() for role in ANSWERING}
        self._counts: dict[Role, int] = {}
        self._places: int | None = None  # of a decode worker, as far as one was seen to be full

    def decide(self, now: Observation) -> Plan:
        before, self._before = self._before, now
        counts = {role: len(now.of(role)) for role in ANSWERING}
        self._note_changes(counts, now.at)
        if before is None or not 0 < now.at - before.at <= self._pace.longest_gap:
            return Plan((), ("nothing to compare with yet",))
        self._places = max(filter(None, (self._places, places_seen(now))), default=None)
        needs = {
            Role.PREFILL: prefill_need(before, now, self._goals),
            Role.DECODE: decode_need(before, now, self._goals, self._places),
        }
        for role, need in needs.items():
            self._steadiness[role].note(now.at, need.workers, self._pace.leave_after)
        actions, why_not = self._actions(now, counts)
        for action in actions:  # one that comes to nothing is not tried at once again
            self._steadiness[action.role].changed(now.at)
        reasons = [_reason(role, counts[role], need) for role, need in needs.items()]
        return Plan(actions, (*reasons, *why_not))

    def _note_changes(self, counts: dict[Role, int], at: float) -> None:
        """Also of workers that died, or that somebody else has started or drained."""
        for role, count in counts.items():
            if self._counts.get(role, count) != count:
                self._steadiness[role].changed(at)
        self._counts = dict(counts)

    def _actions(self, now: Observation, counts: dict[Role, int]) -> tuple[list[Action], list[str]]:
        lacking = {role: self._lacking(role, counts[role], now.at) for role in ANSWERING}
        for role in sorted(ANSWERING, key=lambda role: -lacking[role]):
            if lacking[role] and self._may_flip_to(role, counts):
                flip = self._flip_to(role, now, counts)
                if flip is not None:
                    return [flip], []
                return [], [f"a {role.other.value} worker may be spared for it: to be seen"]
        actions, why_not = self._more(lacking, counts)
        if actions:
            return actions, why_not
        return self._fewer(now.at, counts), why_not

    def _lacking(self, role: Role, count: int, at: float) -> int:
        steadiness = self._steadiness[role]
        below = self._limits.least.of(role) - count
        if below > 0:
            return below
        return steadiness.lacking(count) if steadiness.settled(at, self._pace.settle) else 0

    def _may_flip_to(self, role: Role, counts: dict[Role, int]) -> bool:
        """One of the other role is likely to be spared; a moment later that is known."""
        giver = role.other
        fits = counts[role] < self._limits.most.of(role)
        can_give = counts[giver] > max(self._limits.least.of(giver), giver is Role.DECODE)
        spare = self._steadiness[giver].may_spare(counts[giver])
        return self._can_flip and fits and can_give and spare

    def _flip_to(self, role: Role, now: Observation, counts: dict[Role, int]) -> Flip | None:
        """Whoever has the least to finish. None: not yet."""
        giver = role.other
        if not self._steadiness[giver].spare(counts[giver], now.at, self._pace.flip_after):
            return None
        ready = [worker for worker in now.of(giver) if worker.address]
        if not ready:
            return None
        worker = min(ready, key=_least_to_finish)
        return Flip(worker.worker_id, worker.address, role)

    def _more(
        self, lacking: dict[Role, int], counts: dict[Role, int]
    ) -> tuple[list[Action], list[str]]:
        room = self._limits.most_workers - sum(counts.values())
        actions: list[Action] = []
        why_not: list[str] = []
        for role in sorted(ANSWERING, key=lambda role: -lacking[role]):
            wanted = min(lacking[role], self._limits.most.of(role) - counts[role], room)
            if lacking[role] > max(0, wanted):
                why_not.append(
                    f"{lacking[role]} more {role.value} workers are needed, and no more than "
                    f"{max(0, wanted)} are allowed"
                )
            if wanted > 0:
                room -= wanted
                actions.append(Scale(role, counts[role] + wanted))
        return actions, why_not

    def _fewer(self, at: float, counts: dict[Role, int]) -> list[Action]:
        """One at a time."""
        for role in ANSWERING:
            least = max(self._limits.least.of(role), role is Role.DECODE)
            too_many = counts[role] > self._limits.most.of(role)
            spare = self._steadiness[role].spare(counts[role], at, self._pace.leave_after)
            if counts[role] > least and (spare or too_many):
                return [Scale(role, counts[role] - 1)]
        return []


def _least_to_finish(worker: SeenWorker) -> tuple[int, int, str]:
    return worker.busy, worker.used_blocks, worker.worker_id


def _reason(role: Role, count: int, need: Need) -> str:
    return f"{role.value}: {need.workers:.2f} of {count} workers needed: {need.why}"
