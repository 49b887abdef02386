"""The step behind one that is still under way. Pure, as the scheduler is.

Whoever is in the batch goes on as if no draw under way ended anything: prompts with their next chunk,
answers with the token that is being drawn, which nobody knows yet. Whoever ends with it for certain, by
its length, has no row. One that a stop ends has a row too many, of which nothing will count.

Nobody comes in, is paused or gives way: all that waits until nothing is under way. Where somebody could
come in, where blocks are short, or where what is drawn next depends on the token in a way that only the
host can work out, there is no such step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from baton.core.sampling_params import SamplingParams
from baton.engine.limits import Limits
from baton.engine.plan import StepPlan
from baton.engine.scheduling.block_tables import BlockTables
from baton.engine.scheduling.roster import Roster
from baton.engine.sequence import Sequence, SequenceState

Foresees = Callable[[SamplingParams], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Flying:
    """A step under way: `picks` are whose slices the plan has, in order, and how many tokens each."""

    picks: Mapping[Sequence, int]
    plan: StepPlan

    def places(self) -> dict[Sequence, range]:
        """Of each sequence's draws, among all draws of the step."""
        places, first = {}, 0
        for sequence, piece in zip(self.picks, self.plan.slices, strict=True):
            places[sequence] = range(first, first + len(piece.draws))
            first += len(piece.draws)
        return places


@dataclass(frozen=True, slots=True, eq=False)
class _Going:
    """One that is in the batch behind the step under way, which computes `flown` tokens of it."""

    sequence: Sequence
    flown: int
    follows: int | None  # as `Slice` has it

    @property
    def left(self) -> int:
        """Tokens to compute."""
        return 1 if self.follows is not None else self.sequence.remaining - self.flown

    @property
    def writes(self) -> bool:
        return self.follows is not None or not self.sequence.is_prompt


class Lookahead:
    """Takes blocks for all who go on, or for none."""

    def __init__(self, roster: Roster, tables: BlockTables, limits: Limits) -> None:
        self._roster = roster
        self._tables = tables
        self._limits = limits

    def ahead(
        self, flying: Flying, foresees: Foresees, turn: bool
    ) -> tuple[dict[Sequence, int], StepPlan] | None:
        """Who computes how many tokens, and the plan. None: the next step waits for this one.

        `turn`: of the oldest, to become the first of all.
        """
        if not _can_be_followed(flying.plan, foresees):
            return None
        running = self._roster.queues[SequenceState.RUNNING]
        going = self._going(flying, running)
        if going is None or self._is_awaited(going, len(running), turn):
            return None
        picks = self._picks(going)
        counts = {one.sequence: count for one, count in picks}
        if not picks or not self._extend(picks):
            return None
        slices = tuple(one.sequence.slice_of(count, one.flown, one.follows) for one, count in picks)
        return counts, StepPlan(slices)

    def _going(self, flying: Flying, running: list[Sequence]) -> list[_Going] | None:
        """None: somebody's next step cannot be said yet, or is waited for as it is launched: he forks,
        is one beam of several, or a prompt that is scored part by part.
        """
        places, going = flying.places(), []
        for sequence in running:
            if sequence.work.searches or (sequence.work.scores_prompt and sequence.is_prompt):
                return None
            flown = flying.picks.get(sequence, 0)
            if sequence.remaining > flown:
                going.append(_Going(sequence, flown, None))
            elif not sequence.ends_with_next(self._limits):
                if len(places[sequence]) > 1:
                    return None
                going.append(_Going(sequence, flown, places[sequence][0]))
        return going

    def _is_awaited(self, going: list[_Going], num_running: int, turn: bool) -> bool:
        """Somebody waits for the end of the step under way: to come in, or to become the first."""
        waiting = self._roster.first_in_line()
        if turn and (waiting or any(not one.writes for one in going)):
            return True
        leave_places = len(going) < num_running
        return bool(waiting) and (leave_places or any(map(self._roster.can_be_placed, waiting)))

    def _picks(self, going: list[_Going]) -> list[tuple[_Going, int]]:
        """Under the budget, in the order in which the drafter would have them."""
        firsts = [one for one in going if one.left == 1]
        prompts = [one for one in going if one.left > 1]
        budget = self._limits.max_num_batched_tokens - len(firsts)
        if writers := sum(one.writes for one in firsts):
            budget = min(budget, self._limits.mixed_prompt_tokens(writers))
        picks = [(one, 1) for one in firsts]
        for one in sorted(prompts, key=lambda one: one.sequence.work.priority):
            if count := one.sequence.chunk(budget, self._limits.block_size, one.flown):
                picks.append((one, count))
                budget -= count
        return picks

    def _extend(self, picks: list[tuple[_Going, int]]) -> bool:
        """False, and nothing changed, where there are too few blocks."""
        needed = sum(self._tables.lacking(one.sequence, one.flown + n) for one, n in picks)
        if needed and needed > self._tables.free:
            return False
        if all(self._tables.extend(one.sequence, one.flown + count) for one, count in picks):
            return True
        for one, _ in picks:  # another thread was faster
            self._tables.trim(one.sequence, one.flown)
        return False


def _can_be_followed(plan: StepPlan, foresees: Foresees) -> bool:
    return all(
        not piece.targets and all(foresees(draw.params) for draw in piece.draws)
        for piece in plan.slices
    )
