"""Changes of a worker's role, counted by what came of them."""

from collections import Counter

from baton.core.worker_info import ANSWERING, Role

DONE, CALLED_OFF, OVERTAKEN = RESULTS = ("done", "called_off", "overtaken")


class Flips:
    """Counts only grow."""

    def __init__(self) -> None:
        self._counts = Counter({(role, result): 0 for role in ANSWERING for result in RESULTS})

    def count(self, role: Role, result: str) -> None:
        """`role` is the one that the worker had."""
        self._counts[role, result] += 1

    def told(self) -> dict[tuple[str, str, str], int]:
        """By the roles from and to, and the result. Called from any thread."""
        return {
            (role.value, role.other.value, result): count
            for (role, result), count in self._counts.items()
        }
