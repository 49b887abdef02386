"""Blocks set aside as a count, not yet as ids."""

from collections.abc import Callable


class Reservation:
    """Spent by one `BlockPool.allocate` or by `cancel`."""

    def __init__(self, count: int, give_back: Callable[["Reservation"], None]) -> None:
        self._count = count
        self._give_back = give_back

    @property
    def count(self) -> int:
        """Blocks still set aside; 0 once spent."""
        return self._count

    def cancel(self) -> None:
        """Gives the blocks back; does nothing once spent."""
        self._give_back(self)

    def spend(self) -> int:
        """What was set aside until now. For the pool, under its lock."""
        count, self._count = self._count, 0
        return count
