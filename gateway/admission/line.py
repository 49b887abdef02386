"""Those who wait for room, in the order they go."""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable
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
    lost_worker: bool = False  # a worker had begun with it: nobody newer takes its place
    bill: Bill = field(default_factory=Bill)
    key: Key | None = None
    lane: Hashable = None  # equal for those that would take the same workers; None: any

    @property
    def rank(self) -> tuple[int, bool, float, int]:
        """Among the requests of its tenant."""
        return self.priority, not self.begun, self.due, self.number

    @property
    def particular(self) -> bool:
        return self.lane is not None


@dataclass(slots=True, eq=False)
class Waiter(Generic[T]):
    turn: Turn
    content: T


class Line(Generic[T]):
    """By priority; then those whose clients read already; then the tenant that had the least for
    its weight; then who is due first. One of `OLDEST_EVERY` places is for the priority of whoever
    waits longest, and there for whoever waits longest of the tenant whose turn it is. Of those places
    as few are for whoever waits longest of all: were it all of them, a tenant with large requests
    would get more than its weight.

    Who is particular about its workers waits in a lane of its own: whoever asks for the head may leave
    out lanes that stand still.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._rows: dict[str, list[Waiter[T]]] = {}  # by tenant, none empty
        self._length = 0
        self._particular = 0  # of them, those that would not take any worker
        self._placed = 0  # only grows

    def __len__(self) -> int:
        return self._length

    def __contains__(self, waiter: Waiter[T]) -> bool:
        return waiter in self._rows.get(waiter.turn.bill.tenant, ())

    def count(self, particular: bool) -> int:
        """Those that take any worker, or those that do not."""
        return self._particular if particular else self._length - self._particular

    def add(self, waiter: Waiter[T]) -> None:
        tenant = waiter.turn.bill.tenant
        if tenant not in self._rows:
            self._shares.begin(tenant)
        insort(self._rows.setdefault(tenant, []), waiter, key=lambda one: one.turn.rank)
        self._length += 1
        self._particular += waiter.turn.particular

    def remove(self, waiter: Waiter[T]) -> None:
        tenant = waiter.turn.bill.tenant
        self._rows[tenant].remove(waiter)
        if not self._rows[tenant]:
            del self._rows[tenant]
        self._length -= 1
        self._particular -= waiter.turn.particular

    def clear(self) -> list[Waiter[T]]:
        """Everybody, who leaves."""
        everybody = [waiter for row in self._rows.values() for waiter in row]
        self._rows.clear()
        self._length = self._particular = 0
        return everybody

    def head(self, without: Collection[Hashable] = ()) -> Waiter[T] | None:
        """Whose turn it is, but for the lanes `without` which one asks. None: nobody is left."""
        if not without:
            return self._head([*self._rows.values()])
        rows = ([w for w in row if w.turn.lane not in without] for row in self._rows.values())
        return self._head([row for row in rows if row])

    def leads(self, turn: Turn) -> bool:
        """Whether a newcomer need not wait behind anybody who would take the same workers."""
        rows = [*self._rows.values()]
        if self._particular:
            lanes = {None, turn.lane}
            rivals = ([w for w in row if w.turn.lane in lanes] for row in rows)
            rows = [row for row in rivals if row]
        first = self._head(rows)
        if first is None:
            return True
        if is_turn_of_the_oldest(self._placed):
            return False
        return self._rank(turn) < self._rank(first.turn)

    def placed(self) -> None:
        """One more has got room."""
        self._placed += 1

    def loads(self) -> dict[str, tuple[int, float]]:
        """How many wait and what their tenant's weight is, by tenant."""
        return {t: (len(row), row[0].turn.bill.weight) for t, row in self._rows.items()}

    def waiting(self) -> dict[tuple[str, int], int]:
        """How many wait, by tenant and priority."""
        return Counter((t, w.turn.priority) for t, row in self._rows.items() for w in row)

    def last_for(self, turn: Turn) -> Waiter[T] | None:
        """Who makes way for a newcomer in a full line: the last of the least urgent priority, of
        the tenant that has the most places for its weight. None: nobody.
        """
        lasts = [waiter for row in self._rows.values() if (waiter := _last(row)) is not None]
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

    def _head(self, rows: list[list[Waiter[T]]]) -> Waiter[T] | None:
        """`rows`: of those tenants that have somebody, each in its order."""
        if not rows:
            return None
        first = self._first(row[0] for row in rows)
        if not is_turn_of_the_oldest(self._placed):
            return first
        everybody = (waiter for row in rows for waiter in row)
        oldest = min(everybody, key=lambda waiter: waiter.turn.number)
        if is_turn_of_the_oldest(self._placed // OLDEST_EVERY):
            return oldest
        equals = ([w for w in row if w.turn.priority == oldest.turn.priority] for row in rows)
        eldest = (min(row, key=lambda waiter: waiter.turn.number) for row in equals if row)
        return min(eldest, key=lambda waiter: self._age_rank(waiter.turn))

    def _first(self, waiters: Iterable[Waiter[T]]) -> Waiter[T]:
        return min(waiters, key=lambda waiter: self._rank(waiter.turn))

    def _crowding(self, bill: Bill, more: int) -> float:
        return (len(self._rows.get(bill.tenant, ())) + more) / bill.weight

    def _age_rank(self, turn: Turn) -> tuple[float, int]:
        """Among equals of priority, whenever they are due."""
        return self._shares.time_of(turn.bill.tenant), turn.number

    def _rank(self, turn: Turn) -> Rank:
        time = self._shares.time_of(turn.bill.tenant)
        return turn.priority, not turn.begun, time, turn.due, turn.number


def _last(row: list[Waiter[T]]) -> Waiter[T] | None:
    """Of those that may be sent away: nobody whose client reads already, or who lost a worker. Whom a
    worker has only refused is as the others.
    """
    return next((w for w in reversed(row) if not (w.turn.begun or w.turn.lost_worker)), None)
