"""What becomes of each work from its submission to its end. Pure: no clock, no thread, no byte of KV.

Who is in the next step is the drafter's decision; here is what comes before and after it: works are
taken in, what a step drew lets each choice go on by itself or end, and what is to be told and done
is gathered in one decision.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable

from baton.core.aging import is_turn_of_the_oldest
from baton.core.block_hashes import Hashing
from baton.core.errors import BatonError, InternalError, RequestError
from baton.core.room import ABOVE_ALL
from baton.core.token_record import PromptLogprobs, TokenRecord
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.decision import Decision, ZeroTail
from baton.engine.limits import Limits
from baton.engine.plan import Misled, Slice, SliceResult, StepPlan
from baton.engine.scheduling.block_tables import BlockTables
from baton.engine.scheduling.drafter import Drafter
from baton.engine.scheduling.giving_way import GivingWay, blocks_of
from baton.engine.scheduling.leaving import choice_lent, leaving
from baton.engine.scheduling.lookahead import Flying, Foresees, Lookahead
from baton.engine.scheduling.outbox import Outbox
from baton.engine.scheduling.roster import Roster
from baton.engine.scheduling.searches import Searches
from baton.engine.sequence import Sequence, SequenceState
from baton.engine.work import (
    ChoiceLeft,
    ChoiceLent,
    ChunkComputed,
    Mode,
    PromptScored,
    TokensDrawn,
    Work,
    WorkDone,
    WorkFailed,
)

_NOTHING = StepPlan(())


class Scheduler:
    """Called by one thread. Works are valid (`check_work`) and their keys unique.

    Order of calls: `submit` and `abort` at any time between steps; then `schedule`, and if its plan
    has slices, `postprocess` with what was drawn. Each decision is performed before the next call.

    Before `postprocess` there may be one call of `ahead`: a plan with slices is begun as well, and its
    own `postprocess` comes after that of the step before. Until nothing is under way any more, nobody
    gives away or makes room, and `ahead` stands in the place of `schedule`.
    """

    def __init__(self, blocks: BlockPool, limits: Limits, hashing: Hashing | None = None) -> None:
        """`hashing` names what a prefix cache keeps; None: there is none."""
        self._tables = BlockTables(blocks, limits, hashing)
        self._limits = limits
        self._arrivals = itertools.count()
        self._roster = Roster(self._tables, limits.max_num_seqs)
        self._works, self._queues = self._roster.works, self._roster.queues
        self._searches = Searches(self._roster, self._tables, limits)
        self._flying: deque[Flying] = deque()  # steps under way, the first to land first
        self._misled = False  # of the last step that landed something is to be computed again
        self._lacks: int | None = None
        self._giving_way = GivingWay(self._roster)
        self._outbox = Outbox()
        self._drafter = Drafter(self._roster, self._tables, self._searches, limits, self._outbox)
        self._lookahead = Lookahead(self._roster, self._tables, limits)

    @property
    def tables(self) -> BlockTables:
        """For its counts."""
        return self._tables

    @property
    def num_running(self) -> int:
        """Works with a sequence in the batch. Callable from any thread: it reads one copy."""
        return len({sequence.key for sequence in tuple(self._queues[SequenceState.RUNNING])})

    @property
    def preemptions(self) -> int:
        """Times that somebody gave his blocks up for others. Callable from any thread."""
        return self._searches.set_backs

    @property
    def lacks(self) -> int | None:
        """The most urgent priority of those that lacked blocks in the last step; None: nobody did.
        Callable from any thread.
        """
        return self._lacks

    @property
    def yielding(self) -> tuple[tuple[int, int], ...]:
        """By priority, the blocks that `make_room` may take from them. Callable from any thread."""
        return self._giving_way.yielding()

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """All that are not finished."""
        return tuple(itertools.chain.from_iterable(self._works.values()))

    def submit(self, work: Work) -> Decision:
        """Takes the work in; of a DECODE also the references on its blocks."""
        choices = (0,) if work.params.beam else tuple(range(work.params.n))
        sequence = Sequence(work, next(self._arrivals), choices, list(work.known))
        self._works[work.key] = []
        self._tables.begin(sequence)
        if work.searches:
            self._searches.begin(work)
        if work.mode is Mode.DECODE:
            sequence.state = SequenceState.READY
            sequence.admitted = True
            again = 1 if work.searches else 0  # the last token, to draw from
            self._tables.adopt(sequence, work.blocks, work.num_known - again)
        self._roster.enter(sequence)
        if work.mode is Mode.DECODE and not work.searches:
            self._continue_from(sequence, work.first)
            self._end_if_over(work.key)
        return self._outbox.decided(_NOTHING)

    def abort(self, key: str) -> None:
        """Drops the work, without a word, and whatever it holds; an unknown key is fine."""
        for sequence in tuple(self._works.get(key, ())):
            self._roster.finish(sequence)
        self._works.pop(key, None)
        self._searches.end(key)

    def give_away(self, key: str, choice: int) -> tuple[Decision, ChoiceLent]:
        """Stops a choice behind its last step; its blocks are lent, and it leaves the work.

        Raises RefusedError where it cannot go as it is; nothing changed then.
        """
        self._check_landed()
        sequence = leaving(key, self._works.get(key, ()), choice)
        lent = choice_lent(sequence, self._tables.lend(sequence))
        if tail := sequence.num_computed % self._limits.block_size:
            self._outbox.change(ZeroTail(lent.blocks[-1], tail))  # partial: nobody else's
        self._roster.finish(sequence)
        self._outbox.say(key, ChoiceLeft(choice))
        self._end_if_over(key)
        return self._outbox.decided(_NOTHING), lent

    def make_room(self, priority: int, count: int, take: Callable[[], bool]) -> bool:
        """Until `take` succeeds, which needs `count` blocks in all, those that are less urgent give
        theirs up, the worst first. False: they do not suffice; nobody gave way where that was plain.
        """
        self._check_landed()
        if take():
            return True
        victims = self._giving_way.to(priority)
        if self._tables.free + blocks_of(victims) < count:
            return False
        for victim in reversed(victims):
            victim.gave_way = True
            self._searches.set_back(victim)
            if take():
                return True
        return False

    def schedule(self) -> Decision:
        """The next step. An empty plan stays empty until a submit, an abort or freed blocks.

        For the first holder of blocks is always in the batch: it goes on, or all the others have
        given way already, paused prompts that lend go on instead, and only what was lent or promised
        outside is in its way.
        """
        self._check_landed()
        draft = self._drafter.draft()
        self._lacks, self._misled = _priority_of(draft.lacking), False
        plan = StepPlan(tuple(s.slice_of(count) for s, count in draft.picks.items()))
        return self._begun(draft.picks, plan)

    def ahead(self, foresees: Foresees) -> Decision:
        """The step behind the one that is under way, to be begun before that has landed.

        An empty plan: it is to be scheduled once that has. `foresees` as `Runner` has it.
        """
        if len(self._flying) != 1:
            raise InternalError(
                f"one step is to be followed, and {len(self._flying)} are under way"
            )
        turn = is_turn_of_the_oldest(self._drafter.steps)
        found = None
        if not self._misled:
            found = self._lookahead.ahead(self._flying[0], foresees, turn)
        if found is None:
            return self._outbox.decided(_NOTHING)
        self._drafter.steps += 1
        return self._begun(*found)

    def forget_steps(self) -> None:
        """What is under way was waited for, and nothing of it counts: the engine has failed."""
        self._flying.clear()
        self._tables.step_over(another=False)

    def postprocess(
        self, plan: StepPlan, results: Iterable[SliceResult | BatonError | Misled]
    ) -> Decision:
        """Takes in what the runner computed for each slice of `plan`, of the step that was begun first.

        A work for which nothing could be drawn fails, and it alone.
        """
        records: dict[str, list[TokenRecord]] = {}
        broken: dict[str, BatonError] = {}
        picks = self._flying.popleft().picks
        self._tables.step_over(another=bool(self._flying))
        self._misled = False
        for (sequence, count), piece, result in zip(
            picks.items(), plan.slices, results, strict=True
        ):
            if sequence.state is SequenceState.FINISHED:  # while this was under way
                continue
            if isinstance(result, Misled):
                self._misled = True
                self._tables.trim(sequence, sum(f.picks.get(sequence, 0) for f in self._flying))
                continue
            sequence.num_computed += count
            if sequence.lends:
                self._outbox.say(sequence.key, ChunkComputed(sequence.num_computed))
            if isinstance(result, BatonError):
                broken.setdefault(sequence.key, result)
                continue
            if sequence.is_prompt or not sequence.work.searches:  # beams come and go
                self._tables.publish(sequence)
            self._tell_scores(sequence, piece, result)
            if sequence.work.draws_nothing and not sequence.remaining:
                self._roster.finish(sequence)
                records[sequence.key] = []
            elif piece.draws and sequence.work.searches:
                self._searches.found(sequence, result.drawn[0])
            elif piece.draws:
                new = [
                    sequence.record(draw.choice, drawn, self._limits)
                    for draw, drawn in zip(piece.draws, result.drawn, strict=True)
                ]
                records.setdefault(sequence.key, []).extend(new)
                self._continue_from(sequence, new)
        for key, error in broken.items():
            records.pop(key, None)
            if not isinstance(error, RequestError):  # whose KV is sound, and others' too
                for sequence in self._works[key]:
                    self._tables.withdraw(sequence)
            self.abort(key)
            self._outbox.say(key, WorkFailed(error))
        for key, new in records.items():
            if new:
                self._outbox.say(key, TokensDrawn(tuple(new)))
            self._end_if_over(key)
        while (found := self._searches.next_found()) is not None:
            self._advance_search(found)
        return self._outbox.decided(_NOTHING)

    # -- before a step

    def _begun(self, picks: dict[Sequence, int], plan: StepPlan) -> Decision:
        if plan.slices:
            self._flying.append(Flying(picks, plan))
            self._tables.step_begins()
        return self._outbox.decided(plan)

    def _check_landed(self) -> None:
        """Blocks are given up and places taken only where no step computes with them."""
        if self._flying:
            raise InternalError("a step is under way")

    # -- after a step

    def _tell_scores(self, sequence: Sequence, piece: Slice, result: SliceResult) -> None:
        """Each once: one that was preempted computes what it has told already again."""
        first = max(piece.start + 1, sequence.num_scored)
        end = piece.start + 1 + len(result.scores)
        if first < end:
            sequence.num_scored = end
            scores = PromptLogprobs(first, result.scores[first - end :])
            self._outbox.say(sequence.key, PromptScored(scores))

    def _continue_from(self, sequence: Sequence, records: Iterable[TokenRecord]) -> None:
        """Each record that ends nothing goes on as a sequence of its own."""
        survivors = [record for record in records if record.finish_reason is None]
        if sequence.lends or not survivors:
            self._roster.finish(sequence)
            return
        first, *others = survivors
        for record in others:
            self._fork(sequence, record)
        sequence.tokens.append(first.token_id)
        if sequence.choices != (first.choice,):
            self._roster.rename(sequence, first.choice)

    def _fork(self, parent: Sequence, record: TokenRecord) -> None:
        """Shares the full blocks and copies the partial one; without a block it starts over."""
        child = parent.fork(record)
        copies = self._tables.share(parent, child)
        if copies is not None:
            child.state = SequenceState.READY
            self._outbox.change(*copies)
        self._roster.enter(child)

    def _advance_search(self, key: str) -> None:
        copies, records = self._searches.advance(key)
        self._outbox.change(*copies)
        self._outbox.say(key, TokensDrawn(records or ()))
        if records is not None:
            self._searches.end(key)
            self._end_if_over(key)

    def _end_if_over(self, key: str) -> None:
        if not self._works[key]:
            del self._works[key]
            self._outbox.say(key, WorkDone())


def _priority_of(level: tuple[bool, int] | None) -> int | None:
    if level is None:
        return None
    is_young, priority = level
    return priority if is_young else ABOVE_ALL
