"""Who computes what in the next step. Pure, as the scheduler is.

There are no phases: a step moves each sequence's tokens computed towards its tokens known, under a
budget. Running decodes come first, then the next chunks of running prompts, then new ones in order
of arrival. When blocks run out, whoever came last gives its blocks up and computes again later; so
whoever came first always goes on.

The beams of a search are in a step together or not at all, and give their blocks up together: the
search then begins again, which nobody can see, for it tells nothing before its end.
"""

from baton.engine.block_tables import BlockTables
from baton.engine.decision import ZeroBlock
from baton.engine.draft import Draft
from baton.engine.limits import Limits
from baton.engine.outbox import Outbox
from baton.engine.roster import Roster, are_one_search, places_of
from baton.engine.searches import Searches
from baton.engine.sequence import Sequence, SequenceState
from baton.engine.work import Admitted, BlocksLent, ChunkComputed


class Drafter:
    """Seats, admits and preempts; who comes in hears of it."""

    def __init__(
        self,
        roster: Roster,
        tables: BlockTables,
        searches: Searches,
        limits: Limits,
        outbox: Outbox,
    ) -> None:
        self._roster = roster
        self._tables = tables
        self._searches = searches
        self._limits = limits
        self._outbox = outbox

    def draft(self) -> Draft:
        draft = Draft(self._limits.max_num_batched_tokens)
        self._seat_ready()
        running = tuple(self._roster.queues[SequenceState.RUNNING])
        for sequence in (s for s in running if s.remaining == 1):
            self._advance(draft, sequence)
        for sequence in (s for s in running if s.remaining > 1):
            self._advance(draft, sequence)
        self._searches.drop_partial(draft)
        self._admit(draft)
        return draft

    def _seat_ready(self) -> None:
        """Blocks are paid for already: these need no more than a place."""
        ready = self._roster.queues[SequenceState.READY]
        while ready and self._has_place(ready[0]):
            self._roster.move(ready[0], SequenceState.RUNNING)

    def _has_place(self, sequence: Sequence) -> bool:
        return self._roster.places_taken() + places_of(sequence) <= self._limits.max_num_seqs

    def _advance(self, draft: Draft, sequence: Sequence) -> None:
        count = sequence.chunk(draft.budget, self._limits.block_size)
        running = sequence.state is SequenceState.RUNNING  # unless just preempted for another
        if running and count and self._grow(draft, sequence, count):
            draft.pick(sequence, count)

    def _grow(self, draft: Draft, sequence: Sequence, count: int) -> bool:
        """Blocks for `count` more tokens, if need be from those who came later."""
        while not self._tables.extend(sequence, count):
            draft.short = True
            holders = self._roster.preemptible()
            if holders == [sequence] or are_one_search(holders):
                return False
            self._preempt(draft, holders[-1])
            if sequence.state is not SequenceState.RUNNING:
                return False
        return True

    def _preempt(self, draft: Draft, sequence: Sequence) -> None:
        if sequence.work.searches:
            for beam in self._roster.works[sequence.key]:
                draft.drop(beam)
            self._searches.again(sequence.key)
            return
        draft.drop(sequence)
        self._tables.release(sequence)
        self._roster.move(sequence, SequenceState.WAITING)

    def _admit(self, draft: Draft) -> None:
        waiting = self._roster.queues[SequenceState.WAITING]
        block_size = self._limits.block_size
        while draft.admits and waiting and self._has_place(waiting[0]):
            sequence = waiting[0]
            if not sequence.chunk(draft.budget, block_size):
                return
            draft.short = not self._tables.seat(sequence, draft.budget)
            if draft.short:
                return
            count = sequence.chunk(draft.budget, block_size)
            self._welcome(sequence)
            self._roster.move(sequence, SequenceState.RUNNING)
            draft.pick(sequence, count)

    def _welcome(self, sequence: Sequence) -> None:
        if not sequence.admitted:
            sequence.admitted = True
            self._tables.count_admission(sequence)
            self._outbox.say(sequence.key, Admitted(sequence.num_computed, self._tables.kv_number))
        if sequence.lends:
            self._lend(sequence)

    def _lend(self, sequence: Sequence) -> None:
        if len(sequence.tokens) % self._limits.block_size:
            self._outbox.change(ZeroBlock(sequence.blocks[-1]))
        self._outbox.say(sequence.key, BlocksLent(self._tables.lend(sequence)))
        if sequence.num_computed:
            self._outbox.say(sequence.key, ChunkComputed(sequence.num_computed))
