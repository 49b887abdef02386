"""Which works came later and are more urgent than others that are here. Pure."""

from baton.engine.sequence import Sequence


class Overtakers:
    """Remembers of each priority who came last, until nobody older is left.

    Somebody stays overtaken when whoever did it has ended: it may have been set back by that one.
    """

    def __init__(self) -> None:
        self._latest: dict[int, tuple[float, int]] = {}  # age by priority

    def note(self, sequence: Sequence) -> None:
        priority = sequence.work.priority
        self._latest[priority] = max(sequence.age, self._latest.get(priority, sequence.age))

    def overtook(self, sequence: Sequence) -> bool:
        return any(
            priority < sequence.work.priority and age > sequence.age
            for priority, age in self._latest.items()
        )

    def forget_before(self, age: tuple[float, int]) -> None:
        """Nobody who is here is older than this."""
        self._latest = {p: latest for p, latest in self._latest.items() if latest > age}
