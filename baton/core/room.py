"""What a decode worker has for newcomers: free blocks and seats, at one moment."""

from collections.abc import Iterable
from dataclasses import dataclass, field

ABOVE_ALL = -(1 << 63)  # more urgent than any priority of a request
CROWD = 2  # times the seats, for all priorities together

Seated = tuple[tuple[int, int], ...]  # priority and choices of those that are there
Yielding = tuple[tuple[int, int], ...]  # by priority, blocks that they give the more urgent


@dataclass(frozen=True, slots=True)
class Room:
    """`number` orders the readings of one process; equal rooms may differ in it."""

    number: int = field(default=0, compare=False)
    free_blocks: int = 0  # neither used nor reserved
    lacks: int | None = None  # most urgent priority of those there that lack blocks; None: nobody
    seats: int | None = None  # choices that are written at a time; None: as many as come
    seated: Seated = ()  # by priority, each once
    yielding: Yielding = ()

    def most_for(self, priority: int) -> int:
        """Blocks, if everybody who is less urgent and may give way does; none past somebody as urgent
        who lacks some.
        """
        if self.lacks is not None and self.lacks <= priority:
            return 0
        return self.free_blocks + sum(b for theirs, b in self.yielding if theirs > priority)

    def seats_for(self, choices: int, priority: int) -> bool:
        return not keeps_out(self.seats, self.seated, choices, priority)


NO_ROOM = Room()


def keeps_out(
    seats: int | None, seated: Iterable[tuple[int, int]], choices: int, priority: int
) -> bool:
    """Whether those that are seated leave a newcomer of so many choices no seat.

    One that is wider than all seats is let in when nobody else is there: slow rather than impossible.
    Those of a worse priority are no rivals: they give way in the batch, and only so many again are
    let in beside them.
    """
    if seats is None:
        return False
    rivals = others = 0
    for its_priority, count in seated:
        others += count
        if its_priority <= priority:
            rivals += count
    if rivals and rivals + choices > seats:
        return True
    return bool(others) and others + choices > CROWD * seats
