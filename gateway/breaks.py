"""How much may break under one request before it is given up. Pure."""

from collections.abc import Collection

from baton.core.errors import RefusedError, TransferError, UnavailableError

MOST_LOST = 4  # workers in a row, without a new token: a request may be what kills them
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds before a further try of what brought nothing
# In all. A request that kills whoever computes it may gain a token each time, and would take the
# whole cluster down, again and again; no cluster loses so many workers during one answer otherwise.
MOST_BREAKS = 16

Mendable = RefusedError | UnavailableError | TransferError  # what another worker may do better
MENDABLE = (RefusedError, UnavailableError, TransferError)


def reason_of(error: Mendable) -> str:
    """In one word, for metrics."""
    match error:
        case UnavailableError():
            return "unavailable"
        case TransferError():
            return "transfer"
    return "refused"


REASONS = ("unavailable", "transfer", "refused")


class Breaks:
    """Of one request. Attempts are numbered as they begin."""

    def __init__(self) -> None:
        self.total = 0
        self.lost = 0  # of them, those that a worker was lost in; the others are broken links
        self._counted: dict[object, int] = {}  # by worker: the newest attempt at its last break

    def note(self, worker: object, attempt: int, newest: int, lost: bool = True) -> bool:
        """`attempt` broke, which `worker` answered; `newest` had begun by then. False if it belongs
        to a break that was counted before: a worker that dies takes several attempts along.
        """
        if attempt <= self._counted.get(worker, 0):
            return False
        self._counted[worker] = newest
        self.total += 1
        self.lost += lost
        return True

    @property
    def too_many(self) -> bool:
        return self.lost >= MOST_BREAKS


class BarrenSpell:
    """Breaks in a row that brought no new token. Times are seconds on one clock."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._breaks = 0
        self._lost: set[object] = set()

    def note(self, lost: Collection[object], now: float) -> None:
        """`lost` are the workers that broke off; none where it was a link between two of them."""
        self._began = now if self._began is None else self._began
        self._breaks += 1
        self._lost.update(lost)

    def end(self) -> None:
        """A token came."""
        self._began, self._breaks = None, 0
        self._lost.clear()

    def hopeless(self, now: float, patience: float) -> bool:
        began = now if self._began is None else self._began
        return len(self._lost) >= MOST_LOST or now - began >= patience

    @property
    def pause(self) -> float:
        """Seconds to wait before the next try: none before the first."""
        return (
            min(FIRST_PAUSE * 2.0 ** (self._breaks - 2), LONGEST_PAUSE) if self._breaks > 1 else 0
        )
