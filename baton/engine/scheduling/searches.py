"""Beam searches under way: the sequences that compute their beams, and what was found for them.

One sequence reads the prompt; from its first draw on there is one per live beam, by rank. All of
them are in the batch, in a step together or not at all, and give their blocks up together.
"""

from baton.core.errors import InternalError
from baton.core.token_record import TokenRecord
from baton.engine.decision import CopyBlock
from baton.engine.limits import Limits
from baton.engine.plan import Drawn
from baton.engine.scheduling import beam
from baton.engine.scheduling.block_tables import BlockTables
from baton.engine.scheduling.draft import Draft
from baton.engine.scheduling.roster import Roster
from baton.engine.sequence import Sequence, SequenceState
from baton.engine.work import Work


class Searches:
    """The part of the scheduler that knows of beams."""

    def __init__(self, roster: Roster, tables: BlockTables, limits: Limits) -> None:
        self._roster = roster
        self._tables = tables
        self._limits = limits
        self._searches: dict[str, beam.Search] = {}  # by work
        self.set_backs = 0  # of works, only grows
        self._drawn: dict[str, dict[Sequence, Drawn]] = {}  # in the step at hand

    def begin(self, work: Work) -> None:
        self._searches[work.key] = beam.Search(self._rules(work))

    def end(self, key: str) -> None:
        """Whatever became of it; one that is not known is fine."""
        self._searches.pop(key, None)
        self._drawn.pop(key, None)

    def found(self, sequence: Sequence, drawn: Drawn) -> None:
        self._drawn.setdefault(sequence.key, {})[sequence] = drawn

    def next_found(self) -> str | None:
        """A work whose beams are to advance now; each that does may set others back."""
        return next(iter(self._drawn), None)

    def advance(self, key: str) -> tuple[list[CopyBlock], tuple[TokenRecord, ...] | None]:
        """What is to be copied for the beams that go on; the answer once the search is over."""
        beams, drawn = self._roster.works[key], self._drawn.pop(key)
        if len(drawn) != len(beams):
            raise InternalError(f"{key}: {len(drawn)} of {len(beams)} beams were in the step")
        step = beam.advance(self._searches[key], [drawn[sequence] for sequence in beams])
        self._searches[key] = step.search
        if beam.is_over(step.search):
            for sequence in tuple(beams):
                self._roster.finish(sequence)
            return [], beam.records(step.search)
        return self._continue(key, step), None

    def set_back(self, sequence: Sequence) -> None:
        """It gives its blocks up, of a search with all beams, and will compute again."""
        self.set_backs += 1
        if sequence.work.searches:
            self._again(sequence.key)
        else:
            self._tables.release(sequence)
            self._roster.move(sequence, SequenceState.WAITING)

    def _again(self, key: str) -> None:
        """Gives up every block. The search will begin at its prompt, which one sequence reads."""
        first, *others = tuple(self._roster.works[key])
        for sequence in others:
            self._roster.finish(sequence)
        self._tables.release(first)
        del first.tokens[len(first.work.prompt) :]
        first.choices = (0,)
        self._roster.move(first, SequenceState.WAITING)
        self.begin(first.work)
        self._drawn.pop(key, None)

    def drop_partial(self, draft: Draft) -> None:
        """Where one beam lacks a block, which only somebody outside can give, all of them wait."""
        for key in {s.key for s in draft.picks if s.work.searches}:
            beams = self._roster.works[key]
            if not all(sequence in draft.picks for sequence in beams):
                for sequence in beams:
                    draft.drop(sequence)

    def _continue(self, key: str, step: beam.Step) -> list[CopyBlock]:
        """Losers give their blocks up first; each parent goes on as its first child."""
        before = tuple(self._roster.works[key])
        for index, sequence in enumerate(before):
            if index not in step.parents:
                self._roster.finish(sequence)
        heirs: list[Sequence] = []
        copies: list[CopyBlock] = []
        for rank, (index, live) in enumerate(zip(step.parents, step.search.live, strict=True)):
            parent = before[index]
            if index not in step.parents[:rank]:
                heirs.append(parent)
                continue
            child = parent.fork(TokenRecord(rank, len(parent.tokens), live.tokens[-1]))
            shared = self._share(parent, child)
            if shared is None:
                self._again(key)
                return []
            copies += shared
            child.state = SequenceState.RUNNING
            self._roster.enter(child)
            heirs.append(child)
        for rank, (sequence, live) in enumerate(zip(heirs, step.search.live, strict=True)):
            if sequence in before:
                sequence.tokens.append(live.tokens[-1])
            self._roster.rename(sequence, rank)
        self._roster.works[key][:] = heirs
        return copies

    def _share(self, parent: Sequence, child: Sequence) -> list[CopyBlock] | None:
        """A block for what the child writes, if need be from those who are worse: or the first of
        all would begin again and again, for blocks that the others take meanwhile.
        """
        while (copies := self._tables.share(parent, child)) is None:
            others = [s for s in self._roster.preemptible() if s.key != parent.key]
            worse = [s for s in others if s.order > parent.order]
            if not worse:
                return None
            self.set_back(worse[-1])
        return copies

    def _rules(self, work: Work) -> beam.Rules:
        params = work.params
        if params.beam is None:
            raise InternalError(f"{work.key} does not search")
        eos = self._limits.eos_token_ids
        return beam.Rules(
            width=params.n,
            prompt_len=len(work.prompt),
            max_len=self._limits.search_len(len(work.prompt), params),
            length_penalty=params.beam.length_penalty,
            stops=frozenset(params.stop_token_ids) | (frozenset() if params.ignore_eos else eos),
            eos=eos,
            alternatives=params.logprobs,
        )
