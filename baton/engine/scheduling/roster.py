"""Which sequences there are, by work and by state. It knows no step and no block of its own."""

from bisect import insort

from baton.engine.scheduling.block_tables import BlockTables
from baton.engine.scheduling.overtakers import Overtakers
from baton.engine.sequence import Sequence, SequenceState


class Roster:
    """Sequences that are not finished. `queues` are each the first to be served first."""

    def __init__(self, tables: BlockTables, max_num_seqs: int) -> None:
        """`max_num_seqs`: places in the batch."""
        self._tables = tables
        self._max_num_seqs = max_num_seqs
        self._overtakers = Overtakers()
        self.works: dict[str, list[Sequence]] = {}  # the beams of a search by rank
        self.queues: dict[SequenceState, list[Sequence]] = {
            SequenceState.WAITING: [],
            SequenceState.READY: [],
            SequenceState.RUNNING: [],
        }

    def enter(self, sequence: Sequence) -> None:
        self._overtakers.note(sequence)
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
        self._tables.keep(sequence)
        self._tables.release(sequence)
        self.queues[sequence.state].remove(sequence)
        sequence.move(SequenceState.FINISHED)
        self.works[sequence.key].remove(sequence)

    def age_the_oldest(self) -> None:
        """The work that came first of those that do not write now and that later, more urgent ones
        have overtaken is aged from now on; one at a time, so that the urgent stay urgent.
        """
        present = [s for sequences in self.works.values() for s in sequences]
        behind = [s for s in present if not s.writes]
        if not behind or any(s.aged for s in behind):
            return
        self._overtakers.forget_before(min(s.age for s in present))
        overtaken = [s for s in behind if self._overtakers.overtook(s)]
        if not overtaken:
            return
        oldest = min(overtaken, key=lambda s: s.age)
        for sequence in self.works[oldest.key]:
            queue = self.queues[sequence.state]
            queue.remove(sequence)
            sequence.aged = True
            insort(queue, sequence, key=_order)

    def worse(self, sequence: Sequence) -> list[Sequence]:
        """Whoever is less urgent and in the batch, the worst last."""
        running = self.queues[SequenceState.RUNNING]
        return [s for s in running if s.level > sequence.level]

    def preemptible(self) -> list[Sequence]:
        """Whoever holds blocks that are nobody else's to read, the worst last."""
        holders = self.queues[SequenceState.RUNNING] + self.queues[SequenceState.READY]
        return sorted((s for s in holders if not s.lends), key=_order)

    def places_taken(self) -> int:
        """In the batch: one per sequence, and of a search `n` from its beginning to its end."""
        running = self.queues[SequenceState.RUNNING]
        searches = {s.key: places_of(s) for s in running if s.work.searches}
        return sum(not s.work.searches for s in running) + sum(searches.values())

    def has_place(self, sequence: Sequence) -> bool:
        return self.places_taken() + places_of(sequence) <= self._max_num_seqs

    def can_be_placed(self, sequence: Sequence) -> bool:
        """There is a place, or the less urgent have enough of them."""
        if self.has_place(sequence):
            return True
        places = {s.key if s.work.searches else s: places_of(s) for s in self.worse(sequence)}
        taken = self.places_taken() - sum(places.values())
        return taken + places_of(sequence) <= self._max_num_seqs

    def first_in_line(self) -> list[Sequence]:
        """Who comes into the batch next: of those with blocks, and of those without."""
        lines = (self.queues[SequenceState.READY], self.queues[SequenceState.WAITING])
        return [line[0] for line in lines if line]


def places_of(sequence: Sequence) -> int:
    return sequence.work.params.n if sequence.work.searches else 1


def are_one_search(sequences: list[Sequence]) -> bool:
    return sequences[0].work.searches and len({s.key for s in sequences}) == 1


def _order(sequence: Sequence) -> tuple[tuple[bool, int], tuple[float, int], int]:
    return sequence.order
