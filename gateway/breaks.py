"""How much may break under one request before it is given up. Pure."""

from baton.core.errors import RefusedError, TransferError, UnavailableError

MOST_BARREN = 3  # in a row that brought no new token
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
        self._counted: dict[object, int] = {}  # by worker: the newest attempt at its last break

    def note(self, worker: object, attempt: int, newest: int) -> bool:
        """`attempt` broke, which `worker` answered; `newest` had begun by then. False if it belongs
        to a break that was counted before: a worker that dies takes several attempts along.
        """
        if attempt <= self._counted.get(worker, 0):
            return False
        self._counted[worker] = newest
        self.total += 1
        return True

    @property
    def too_many(self) -> bool:
        return self.total >= MOST_BREAKS
