"""Where a request runs: a prefill and a decode worker, or a decode worker alone. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from operator import add, attrgetter

from baton.core.worker_info import WorkerInfo
from gateway.candidate import Candidate
from gateway.link_model import Link
from gateway.scoring import (
    Ask,
    Terms,
    alone_scores,
    reading_scores,
    terms_of,
    transfer_scores,
    writing_scores,
)

SHORTLIST = 3  # workers of each role that are looked at closely
# By instance ids of prefill and decode worker; None: no more is known than of any two.
LinkBetween = Callable[[str, str], Link | None]


@dataclass(frozen=True, slots=True)
class Pair:
    prefill: WorkerInfo
    decode: WorkerInfo


@dataclass(frozen=True, slots=True)
class Alone:
    """The decode worker reads the prompt itself."""

    decode: WorkerInfo


Placement = Pair | Alone


@dataclass(slots=True)  # not frozen, as `Terms`
class Option:
    placement: Placement
    terms: Terms
    cached: int  # tokens of the prompt that whoever reads it is believed to have
    score: float = field(init=False)  # of `terms`

    def __post_init__(self) -> None:
        self.score = self.terms.score


@dataclass(frozen=True, slots=True)
class Decision:
    """`options` begin with what was chosen; the others are what it was compared with at the end."""

    options: tuple[Option, ...]
    reason: str
    considered: int = 1  # placements that were possible

    @property
    def placement(self) -> Placement:
        return self.options[0].placement


class Reason:
    """Why, in a word."""

    LEAST_COST = "least_cost"
    PREFIX = "prefix"  # likewise, with part of the prompt cached where it is read
    LOCAL = "local"  # a decode worker alone: a hand-off would cost more than it saves
    NO_PREFILL = "no_prefill"  # a decode worker alone: no prefill worker lives
    WISHED = "wished"  # the least cost among what the request allows
    MISSED = "objective_missed"  # nothing was predicted to meet the objectives
    DOUBTED = "last_resort"  # it broke under this request before, and there is nothing else


REASONS = tuple(value for name, value in vars(Reason).items() if name.isupper())


def place(
    candidates: Sequence[Candidate], ask: Ask, link: LinkBetween | None = None
) -> Decision | None:
    """The placement of the least cost. None: nothing fits now, and a change in the cluster may help.

    Workers of unequal fingerprint are never paired. A prefill worker that is out of touch or refused
    is waited for as long as no other takes requests.

    Of each role a few that cost least are combined, not all pairs. The cost of a pair is a sum of
    one part for each of its workers and one for the link; so with links alike, the best pair is made of
    the best of each role, whatever the objectives: each objective is one worker's as well. With `link`s
    that differ, what is chosen costs at most as much more than the best of all pairs as links differ. And
    a link that is doubted can shut out one better pair each, so that many more are looked at.
    """
    prefills = [c for c in candidates if c.prefills and c.alive]
    decodes = takers(candidates, ask)
    partners = [c for c in prefills if c.takes_requests]
    options: list[Option] = []
    considered = 0
    for writers, readers in _by_kind(decodes, partners):
        if not readers and (prefills or not ask.may_be_alone):
            continue
        options += _best_of(readers, writers, ask, link)
        considered += (len(readers) + 1) * len(writers)
    if not options:
        return None
    options.sort(key=attrgetter("score"))
    return Decision(tuple(options), _reason(options[0], ask, bool(prefills)), considered)


def refuge(
    candidates: Sequence[Candidate], source: Candidate, known_tokens: int, priority: int = 0
) -> WorkerInfo | None:
    """The decode worker that goes on most cheaply with what `source` writes now, its KV included.
    None: nobody has room.
    """
    equal = [c for c in roomy(candidates, known_tokens, 1, priority) if c.kind == source.kind]
    if not equal:
        return None
    scores = writing_scores(Ask(known_tokens), equal)
    return equal[scores.index(min(scores))].info


def roomy(
    candidates: Sequence[Candidate], num_tokens: int, choices: int, priority: int
) -> list[Candidate]:
    """Decode workers with room for so many tokens and one block more per choice; prefill workers
    queue, these refuse.
    """
    return [
        c
        for c in candidates  # said out, not called: a decision asks it of every worker
        if c.fits >= num_tokens + choices * c.block_tokens
        and (c.free_seats >= choices or c.has_seats(choices, priority))
    ]


def takers(candidates: Sequence[Candidate], ask: Ask) -> list[Candidate]:
    """Decode workers with room for the request, or else those where less urgent answers make it."""
    if found := roomy(candidates, ask.tokens, ask.choices, ask.priority):
        return found
    return [
        c
        for c in candidates
        if c.worst > ask.priority
        and c.takes_answers
        and c.makes_room(ask.tokens, ask.choices, ask.priority)
    ]


def _by_kind(
    decodes: list[Candidate], prefills: list[Candidate]
) -> Iterator[tuple[list[Candidate], list[Candidate]]]:
    """Those that may be paired with each other. Mostly all are of one kind."""
    kinds = {c.kind for c in decodes}
    if len(kinds) == 1 and kinds == {c.kind for c in prefills}:
        yield decodes, prefills
        return
    for kind in sorted(kinds):
        yield [c for c in decodes if c.kind == kind], [c for c in prefills if c.kind == kind]


def _best_of(
    readers: list[Candidate], writers: list[Candidate], ask: Ask, link: LinkBetween | None
) -> list[Option]:
    count = SHORTLIST + len(ask.doubted_links)
    writing = writing_scores(ask, writers)
    options: list[Option] = []
    if readers:
        moving = map(add, writing, transfer_scores(ask, writers)) if ask.held else writing
        near = _least(count, writers, moving)
        for prefill in _least(count, readers, reading_scores(ask, readers)):
            for decode in near:
                between = link and link(prefill.instance_id, decode.instance_id)
                options.append(_option(ask, prefill, decode, between))
        # Whoever would take longer than the best pair, if nothing but the tokens that nobody has were
        # to be read, need not be tried alone; but the likeliest is, for what is told of the choice.
        uncached = ask.tokens - max(ask.held.values(), default=0)
        best, likeliest = min(option.score for option in options), min(writing)
        most = max(best, likeliest)
        likely = [i for i, seconds in enumerate(writing) if seconds <= most]
        likely = [
            i
            for i in likely
            if writing[i] + uncached * writers[i].read_token <= best or writing[i] == likeliest
        ]
        writers, writing = [writers[i] for i in likely], [writing[i] for i in likely]
    if not ask.may_be_alone:
        return options
    alone = map(add, writing, alone_scores(ask, writers))
    return [_option(ask, None, c) for c in _least(count, writers, alone)] + options


def _least(count: int, candidates: list[Candidate], scores: Iterable[float]) -> list[Candidate]:
    """Cheapest first. Numbers are compared before workers are: that is twice as fast."""
    known = list(scores)
    if not known:
        return []
    bound = nsmallest(count, known)[-1]
    places = [i for i, score in enumerate(known) if score <= bound]
    places.sort(key=known.__getitem__)
    return [candidates[i] for i in places[:count]]


def _option(
    ask: Ask, prefill: Candidate | None, decode: Candidate, link: Link | None = None
) -> Option:
    reader = prefill or decode
    placement = Alone(decode.info) if prefill is None else Pair(prefill.info, decode.info)
    cached = ask.held.get(reader.instance_id, 0)
    return Option(placement, terms_of(ask, prefill, decode, link), cached)


def _reason(best: Option, ask: Ask, prefills_live: bool) -> str:
    if best.terms.doubt:
        return Reason.DOUBTED
    if best.terms.misses:
        return Reason.MISSED
    if ask.particular:
        return Reason.WISHED
    if isinstance(best.placement, Alone):
        return Reason.LOCAL if prefills_live else Reason.NO_PREFILL
    return Reason.PREFIX if best.cached else Reason.LEAST_COST
