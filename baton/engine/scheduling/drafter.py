"""Who computes what in the next step. Pure, as the scheduler is.

There are no phases: a step moves each sequence's tokens computed towards its tokens known, under a
budget. Running decodes come first, then prompts, of which a step with decodes reads only so much that
readers of answers do not see it stop: the lowest priority first, running ones before new
ones, and those in order of arrival. So a long prompt yields between two chunks to whoever is more
urgent. Where places or blocks run out, the worst gives way: the least urgent, of them whoever came
last. It is paused if a place is enough, or else gives its blocks up and computes again later; but
nobody gives way to make a place for its like. A prompt that lends keeps its blocks whatever comes.

So whoever is first in this order always goes on. That the others do too is aging: in every
`OLDEST_EVERY`th step the oldest work that was overtaken becomes the first of all until its end, but
for the budget, of which it is the first in these steps alone: others wait for one chunk of it.

The beams of a search are in a step together or not at all, and give their blocks up together: the
search then begins again, which nobody can see, for it tells nothing before its end.
"""

from baton.core.aging import is_turn_of_the_oldest
from baton.engine.decision import ZeroBlock
from baton.engine.limits import Limits
from baton.engine.scheduling.block_tables import BlockTables
from baton.engine.scheduling.draft import Draft
from baton.engine.scheduling.outbox import Outbox
from baton.engine.scheduling.roster import Roster, are_one_search
from baton.engine.scheduling.searches import Searches
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
        self.steps = 0  # that were not empty

    def draft(self) -> Draft:
        draft = Draft(self._limits.max_num_batched_tokens)
        turn = is_turn_of_the_oldest(self.steps)
        if turn:
            self._roster.age_the_oldest()
        self._seat_ready(draft)
        running = tuple(self._roster.queues[SequenceState.RUNNING])
        for sequence in (s for s in running if s.remaining == 1):
            self._advance(draft, sequence)
        self._searches.drop_partial(draft)
        if writers := sum(not sequence.is_prompt for sequence in draft.picks):
            draft.leave_for_prompts(self._limits.mixed_prompt_tokens(writers))
        prompts = [s for s in running if s.remaining > 1]
        for sequence in sorted(prompts, key=lambda s: _claim(s, turn)):
            self._admit(draft, _claim(sequence, turn))
            self._advance(draft, sequence)
        self._admit(draft)
        if not draft.picks:
            self._resume_paused(draft)
        if draft.picks:
            self.steps += 1
        return draft

    def _seat_ready(self, draft: Draft) -> None:
        """Blocks are paid for already: these need no more than a place."""
        ready = self._roster.queues[SequenceState.READY]
        while ready and self._roster.can_be_placed(ready[0]):
            sequence = ready[0]
            self._make_place(draft, sequence)
            self._roster.move(sequence, SequenceState.RUNNING)

    def _make_place(self, draft: Draft, sequence: Sequence) -> None:
        while not self._roster.has_place(sequence):
            self._pause(draft, self._roster.worse(sequence)[-1])

    def _make_room(self, draft: Draft, sequence: Sequence) -> bool:
        """Blocks to come in with, if need be from the less urgent."""
        while not self._tables.seat(sequence, draft.budget):
            victims = [s for s in self._roster.preemptible() if s.level > sequence.level]
            if not victims or not self._tables.could_seat(sequence, victims):
                return False
            self._preempt(draft, victims[-1])
        return True

    def _advance(self, draft: Draft, sequence: Sequence) -> None:
        count = sequence.chunk(draft.budget, self._limits.block_size)
        running = sequence.state is SequenceState.RUNNING  # unless it just gave way to another
        if running and count and self._grow(draft, sequence, count):
            draft.pick(sequence, count)

    def _grow(self, draft: Draft, sequence: Sequence, count: int) -> bool:
        """Blocks for `count` more tokens, if need be from those who are worse."""
        while not self._tables.extend(sequence, count):
            draft.lacks(sequence)
            holders = self._roster.preemptible()
            if holders == [sequence] or are_one_search(holders):
                return False
            self._preempt(draft, holders[-1])
            if sequence.state is not SequenceState.RUNNING:
                return False
        return True

    def _pause(self, draft: Draft, sequence: Sequence) -> None:
        """It leaves the batch with what it has computed; a search has no place but the batch."""
        if sequence.work.searches:
            self._preempt(draft, sequence)
            return
        draft.drop(sequence)
        self._tables.trim(sequence)
        self._roster.move(sequence, SequenceState.READY)

    def _preempt(self, draft: Draft, sequence: Sequence) -> None:
        dropped = self._roster.works[sequence.key] if sequence.work.searches else [sequence]
        for one in dropped:
            draft.drop(one)
        self._searches.set_back(sequence)

    def _admit(self, draft: Draft, before: tuple[bool, int] | None = None) -> None:
        """Lets in whoever waits, of those that are more urgent than `before`."""
        waiting = self._roster.queues[SequenceState.WAITING]
        block_size = self._limits.block_size
        while draft.admits and waiting and self._roster.can_be_placed(waiting[0]):
            sequence = waiting[0]
            if before is not None and sequence.level >= before:
                return
            if not sequence.chunk(draft.budget, block_size):
                return
            if not self._make_room(draft, sequence):
                draft.lacks(sequence)
                return
            count = sequence.chunk(draft.budget, block_size)  # what there are blocks for
            self._make_place(draft, sequence)
            self._welcome(sequence)
            self._roster.move(sequence, SequenceState.RUNNING)
            draft.pick(sequence, count)

    def _resume_paused(self, draft: Draft) -> None:
        """Nobody can go on but a prompt that was paused: whoever reads its blocks gives them back
        once it is computed, and that is what the others lack.
        """
        lenders = [s for s in self._roster.queues[SequenceState.READY] if s.lends]
        if lenders:
            while not self._roster.has_place(lenders[0]):
                self._pause(draft, self._roster.queues[SequenceState.RUNNING][-1])
            self._roster.move(lenders[0], SequenceState.RUNNING)
            self._advance(draft, lenders[0])

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


def _claim(sequence: Sequence, turn: bool) -> tuple[bool, int]:
    """On the budget. An aged prompt comes first when it is the `turn` of the oldest; else it is
    what it would be if it were not aged.
    """
    return sequence.level if turn else (True, sequence.work.priority)
