"""Whose blocks a more urgent reservation may have. Pure."""

from collections import Counter
from collections.abc import Iterable

from baton.engine.scheduling.roster import Roster
from baton.engine.sequence import Sequence, SequenceState


class GivingWay:
    """A sequence gives way to reservations once: it will compute again what it had, and a stream of
    urgent requests must not make it do so for ever. Nor does one that is aged, for the same reason; one
    that lends, for somebody reads its blocks; or a search, which would begin again.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def yielding(self) -> tuple[tuple[int, int], ...]:
        """By priority, the blocks of those that would give way. Callable from any thread."""
        queues, blocks = self._roster.queues, Counter[int]()
        for state in (SequenceState.RUNNING, SequenceState.READY):
            for sequence in tuple(queues[state]):
                if _gives_way(sequence):
                    blocks[sequence.work.priority] += len(sequence.blocks)
        return tuple(sorted(blocks.items()))

    def to(self, priority: int) -> list[Sequence]:
        """Those that are less urgent, the worst last."""
        return [
            s
            for s in self._roster.preemptible()
            if s.work.priority > priority and _gives_way(s) and s.blocks
        ]


def blocks_of(sequences: Iterable[Sequence]) -> int:
    return sum(len(sequence.blocks) for sequence in sequences)


def _gives_way(sequence: Sequence) -> bool:
    kept = sequence.gave_way or sequence.aged or sequence.lends
    return not (kept or sequence.work.searches)
