"""What a decode worker has left for newcomers, as far as this gateway knows. Pure."""

from collections import Counter
from dataclasses import dataclass

from baton.core.room import Room, Yielding


@dataclass(frozen=True, slots=True)
class Claim:
    """What one request is to have of a decode worker."""

    blocks: int
    choices: int = 1
    priority: int = 0


class Claims:
    """The latest of a worker's readings, less what it was asked for and has not answered yet.

    Every answer to a reservation brings a reading in which that reservation is counted, so a claim is
    counted once at any time: here until its answer comes, in readings from then on. Only where a
    load overtakes the answer it is counted twice for a moment.
    """

    def __init__(self) -> None:
        self._latest = Room()
        self._at_most: int | None = None  # free blocks, by a refusal since the latest reading
        self._blocks = 0
        self._seated: Counter[int] = Counter()  # choices by priority

    def hear(self, room: Room) -> None:
        """A reading; one that was overtaken by a later one says nothing."""
        if room.number >= self._latest.number:
            self._latest, self._at_most = room, None

    def add(self, claim: Claim) -> None:
        """The worker is about to be asked for it."""
        self._blocks += claim.blocks
        self._seated[claim.priority] += claim.choices

    def remove(self, claim: Claim) -> None:
        """It was answered, or nobody asks any more."""
        self._blocks -= claim.blocks
        self._seated[claim.priority] -= claim.choices
        if not self._seated[claim.priority]:
            del self._seated[claim.priority]

    def refused(self, claim: Claim) -> None:
        """There is less than was believed: whatever took it, the next reading tells."""
        least = min(self._latest.free_blocks, claim.blocks - 1)
        self._at_most = least if self._at_most is None else min(self._at_most, least)

    def forget_refusals(self) -> None:
        self._at_most = None

    @property
    def left(self) -> Room:
        latest = self._latest
        if not self._seated and self._at_most is None:
            return latest
        free = latest.free_blocks if self._at_most is None else self._at_most
        yielding: Yielding = ()
        if latest.yielding and self._at_most is None:
            yielding = self._still_yielding(self._blocks - free)
        seated = self._seated.copy()
        for priority, choices in latest.seated:
            seated[priority] += choices
        least = max(0, free - self._blocks)
        # By place: `replace` takes as long as all the rest, and every decision comes here.
        return Room(
            latest.number,
            least,
            latest.lacks,
            latest.seats,
            tuple(sorted(seated.items())),
            yielding,
        )

    def _still_yielding(self, taken: int) -> Yielding:
        """Once the worst have given so many blocks up."""
        still: list[tuple[int, int]] = []
        for priority, blocks in reversed(self._latest.yielding):
            given = min(blocks, max(0, taken))
            taken -= given
            if blocks > given:
                still.insert(0, (priority, blocks - given))
        return tuple(still)
