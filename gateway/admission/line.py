"""Those who wait for room, in the order they go."""

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from baton.core.aging import OLDEST_EVERY, is_turn_of_the_oldest
from gateway.admission.shares import Bill, Shares

T = TypeVar("T")
# The same for a client that comes back with what was refused. Costs a look at the whole prompt.
Key = Callable[[], int]
Rank = tuple[int, bool, float, float, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """A request's place in the line. It keeps the place when it has to come back."""

    number: int
    deadline: float  # until then it waits
    due: float  # who is due first goes first among the requests of one tenant
    priority: int = 0  # lower is earlier
    begun: bool = False  # its client reads already: before all others of its priority
    bill: Bill = field(default_factory=Bill)
    key: Key | None = None

    @property
    def rank(self) -> tuple[int, bool, float, int]:
        """Among the requests of its tenant."""
        return self.priority, not self.begun, self.due, self.number


@dataclass(slots=True, eq=False)
class Waiter(Generic[T]):
    turn: Turn
    content: T


class Line(Generic[T]):
    """By priority; then those whose clients read already; then the tenant that had the least for
    its weight; then who is due first. One of `OLDEST_EVERY` places is for the priority of whoever
    waits longest, and of those places as few for that one itself: were it all of them, a tenant with
    large requests would get more than its weight.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._lanes: dict[str, list[Waiter[T]]] = {}  # by tenant, none empty
        self._length = 0
        self._placed = 0  # only grows

    def __len__(self) -> int:
        return self._length

    def __contains__(self, waiter: Waiter[T]) -> bool:
        return waiter in self._lanes.get(waiter.turn.bill.tenant, ())

    def add(self, waiter: Waiter[T]) -> None:
        tenant = waiter.turn.bill.tenant
        if tenant not in self._lanes:
            self._shares.begin(tenant)
        insort(self._lanes.setdefault(tenant, []), waiter, key=lambda one: one.turn.rank)
        self._length += 1

    def remove(self, waiter: Waiter[T]) -> None:
        tenant = waiter.turn.bill.tenant
        self._lanes[tenant].remove(waiter)
        if not self._lanes[tenant]:
            del self._lanes[tenant]
        self._length -= 1

    def clear(self) -> list[Waiter[T]]:
        """Everybody, who leaves."""
        everybody = [waiter for lane in self._lanes.values() for waiter in lane]
        self._lanes.clear()
        self._length = 0
        return everybody

    def head(self) -> Waiter[T]:
        """Whose turn it is; there is somebody."""
        first = self._first(lane[0] for lane in self._lanes.values())
        if not is_turn_of_the_oldest(self._placed):
            return first
        everybody = (waiter for lane in self._lanes.values() for waiter in lane)
        oldest = min(everybody, key=lambda waiter: waiter.turn.number)
        if is_turn_of_the_oldest(self._placed // OLDEST_EVERY):
            return oldest
        priority = oldest.turn.priority
        if priority == first.turn.priority:
            return first
        equals = (
            next((w for w in x if w.turn.priority == priority), None) for x in self._lanes.values()
        )
        return self._first(waiter for waiter in equals if waiter is not None)

    def leads(self, turn: Turn) -> bool:
        """Whether a newcomer need not wait behind anybody."""
        if not self._length:
            return True
        if is_turn_of_the_oldest(self._placed):
            return False
        return self._rank(turn) < self._rank(self.head().turn)

    def placed(self) -> None:
        """One more has got room."""
        self._placed += 1

    def loads(self) -> dict[str, tuple[int, float]]:
        """How many wait and what their tenant's weight is, by tenant."""
        return {t: (len(lane), lane[0].turn.bill.weight) for t, lane in self._lanes.items()}

    def last_for(self, turn: Turn) -> Waiter[T] | None:
        """Who makes way for a newcomer in a full line: the last of the least urgent priority, of
        the tenant that has the most places for its weight. None: nobody.
        """
        lasts = [waiter for lane in self._lanes.values() if (waiter := _last(lane)) is not None]
        if not lasts:
            return None
        worst = max(waiter.turn.priority for waiter in lasts)
        if turn.priority > worst:
            return None
        rivals = [waiter for waiter in lasts if waiter.turn.priority == worst]
        victim = max(rivals, key=lambda waiter: self._crowding(waiter.turn.bill, 0))
        if turn.priority < worst:
            return victim
        after = self._crowding(turn.bill, 1)
        return victim if after < self._crowding(victim.turn.bill, 0) else None

    def _first(self, waiters: Iterable[Waiter[T]]) -> Waiter[T]:
        return min(waiters, key=lambda waiter: self._rank(waiter.turn))

    def _crowding(self, bill: Bill, more: int) -> float:
        return (len(self._lanes.get(bill.tenant, ())) + more) / bill.weight

    def _rank(self, turn: Turn) -> Rank:
        time = self._shares.time_of(turn.bill.tenant)
        return turn.priority, not turn.begun, time, turn.due, turn.number


def _last(lane: list[Waiter[T]]) -> Waiter[T] | None:
    """Of those that may be sent away: nobody whose client reads already, or who was placed before."""
    for waiter in reversed(lane):
        if not waiter.turn.begun and not waiter.turn.bill.charged:
            return waiter
    return None
