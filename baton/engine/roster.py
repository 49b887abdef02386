"""Which sequences there are, by work and by state. It knows no step and no block of its own."""

from bisect import insort

from baton.engine.block_tables import BlockTables
from baton.engine.sequence import Sequence, SequenceState


class Roster:
    """Sequences that are not finished. `queues` are each by order of arrival."""

    def __init__(self, tables: BlockTables) -> None:
        self._tables = tables
        self.works: dict[str, list[Sequence]] = {}  # the beams of a search by rank
        self.queues: dict[SequenceState, list[Sequence]] = {
            SequenceState.WAITING: [],
            SequenceState.READY: [],
            SequenceState.RUNNING: [],
        }

    def enter(self, sequence: Sequence) -> None:
        self.works[sequence.key].append(sequence)
        insort(self.queues[sequence.state], sequence, key=_order)

    def move(self, sequence: Sequence, state: SequenceState) -> None:
        self.queues[sequence.state].remove(sequence)
        sequence.move(state)
        insort(self.queues[state], sequence, key=_order)

    def rename(self, sequence: Sequence, choice: int) -> None:
        """It goes on as this one choice, and its order changes with that."""
        queue = self.queues[sequence.state]
        queue.remove(sequence)
        sequence.choices = (choice,)
        insort(queue, sequence, key=_order)

    def finish(self, sequence: Sequence) -> None:
        """Gives up what it holds."""
        self._tables.release(sequence)
        self.queues[sequence.state].remove(sequence)
        sequence.move(SequenceState.FINISHED)
        self.works[sequence.key].remove(sequence)

    def preemptible(self) -> list[Sequence]:
        """Whoever holds blocks that are nobody else's to read, the first to come first."""
        holders = self.queues[SequenceState.RUNNING] + self.queues[SequenceState.READY]
        return sorted((s for s in holders if not s.lends), key=_order)

    def places_taken(self) -> int:
        """In the batch: one per sequence, and of a search `n` from its beginning to its end."""
        running = self.queues[SequenceState.RUNNING]
        searches = {s.key: places_of(s) for s in running if s.work.searches}
        return sum(not s.work.searches for s in running) + sum(searches.values())


def places_of(sequence: Sequence) -> int:
    return sequence.work.params.n if sequence.work.searches else 1


def are_one_search(sequences: list[Sequence]) -> bool:
    return sequences[0].work.searches and len({s.key for s in sequences}) == 1


def _order(sequence: Sequence) -> tuple[int, int]:
    return sequence.order
