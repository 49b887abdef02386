"""Where a request runs: a prefill and a decode worker, or a decode worker alone. Pure."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from baton.core.worker_info import WorkerInfo
from gateway.placing.candidate import Candidate
from gateway.placing.fleet import Columns, Kind, Mask, Numbers, fleet_of
from gateway.placing.link_model import Link
from gateway.placing.scoring import (
    Ask,
    Terms,
    alone_scores,
    reading_scores,
    terms_of,
    transfer_scores,
    writing_scores,
)

SHORTLIST = 3  # workers of each role that are looked at closely
FEW = 256  # scores that are sorted as quickly as the least of them are found
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
    candidates: Iterable[Candidate], ask: Ask, link: LinkBetween | None = None
) -> Decision | None:
    """The placement of the least cost. None: nothing fits now, and a change in the cluster may help.

    Workers of unequal fingerprint are never paired. A prefill worker that is out of touch or refused
    is waited for as long as no other takes requests.

    Of each role a few that cost least are combined, not all pairs. The cost of a pair is a sum of
    one part for each of its workers and one for the link; so with links alike, the best pair is made of
    the best of each role, whatever the objectives: each objective is one worker's as well. With `link`s
    that differ, what is chosen costs at most as much more than the best of all pairs as links differ. And
    a link that is doubted can shut out one better pair each: the best pair of the others has no more
    pairs before it, of workers no dearer than its own, than there are such links.
    """
    kinds = fleet_of(candidates).kinds
    prefills = any(c.alive for kind in kinds for c in kind.readers.candidates)
    options: list[Option] = []
    considered = 0
    for kind, take in zip(kinds, _takers(kinds, ask), strict=True):
        reads = kind.readers.takes_requests > 0.0
        num_readers, num_writers = np.count_nonzero(reads), np.count_nonzero(take)
        if not num_writers or (not num_readers and (prefills or not ask.may_be_alone)):
            continue
        options += _best_of(kind, reads if num_readers else None, take, ask, link)
        considered += (int(num_readers) + 1) * int(num_writers)
    if not options:
        return None
    options.sort(key=attrgetter("score"))
    return Decision(tuple(options), _reason(options[0], ask, prefills), considered)


def refuge(
    candidates: Iterable[Candidate], source: Candidate, known_tokens: int, priority: int = 0
) -> WorkerInfo | None:
    """The decode worker that goes on most cheaply with what `source` writes now, its KV included.
    None: nobody has room.
    """
    equal = Columns(c for c in candidates if c.kind == source.kind and c.takes_answers)
    scores = writing_scores(Ask(known_tokens), equal)
    scores[~_roomy(equal, known_tokens, 1, priority)] = math.inf
    least = _least(1, scores)
    return equal.candidates[least[0]].info if least else None


def takers(candidates: Iterable[Candidate], ask: Ask) -> list[Candidate]:
    """Decode workers with room for the request, or else those where less urgent answers make it."""
    kinds = fleet_of(candidates).kinds
    return [
        kind.writers.candidates[i]
        for kind, take in zip(kinds, _takers(kinds, ask), strict=True)
        for i in take.nonzero()[0]
    ]


def _takers(kinds: list[Kind], ask: Ask) -> list[Mask]:
    """Among the decode workers of each kind."""
    found = [_roomy(kind.writers, ask.tokens, ask.choices, ask.priority) for kind in kinds]
    return (
        found
        if any(take.any() for take in found)
        else [_yielding(kind.writers, ask) for kind in kinds]
    )


def _roomy(decodes: Columns, num_tokens: int, choices: int, priority: int) -> Mask:
    """Those with room for so many tokens and one block more per choice; prefill workers queue, these
    refuse.
    """
    roomy: Mask = decodes.fits >= num_tokens + choices * decodes.block_tokens
    for i in (roomy & (decodes.free_seats < choices)).nonzero()[0]:
        roomy[i] = decodes.candidates[i].has_seats(choices, priority)
    return roomy


def _yielding(decodes: Columns, ask: Ask) -> Mask:
    yielding: Mask = (decodes.worst > ask.priority) & (decodes.takes_requests > 0.0)
    for i in yielding.nonzero()[0]:
        yielding[i] = decodes.candidates[i].makes_room(ask.tokens, ask.choices, ask.priority)
    return yielding


def _best_of(
    kind: Kind, reads: Mask | None, take: Mask, ask: Ask, link: LinkBetween | None
) -> list[Option]:
    """`reads`: which prefill workers take requests; None: no one. `take`: which decode workers do."""
    count = SHORTLIST + len(ask.doubted_links)
    readers, writers = kind.readers, kind.writers
    writing = np.where(take, writing_scores(ask, writers), math.inf)
    cached = writers.held(ask.held)
    options: list[Option] = []
    if reads is not None:
        moving = writing + transfer_scores(ask, writers, cached) if ask.held else writing
        near = [writers.candidates[i] for i in _least(count, moving)]
        reading = np.where(reads, reading_scores(ask, readers, readers.held(ask.held)), math.inf)
        for rank, i in enumerate(_least(count, reading), 1):
            prefill = readers.candidates[i]
            for decode in near[: count // rank]:
                between = link and link(prefill.instance_id, decode.instance_id)
                options.append(_option(ask, prefill, decode, between))
        # Whoever would take longer than the best pair, if nothing but the tokens that nobody has were
        # to be read, need not be tried alone; but the likeliest is, for what is told of the choice.
        uncached = ask.tokens - max(ask.held.values(), default=0)
        best, likeliest = min(option.score for option in options), writing.min()
        likely = (writing + uncached * writers.read_token <= best) | (writing == likeliest)
        writing = np.where(likely, writing, math.inf)
    if not ask.may_be_alone:
        return options
    alone = writing + alone_scores(ask, writers, cached)
    return [_option(ask, None, writers.candidates[i]) for i in _least(count, alone)] + options


def _least(count: int, scores: Numbers) -> list[int]:
    """Places of the finite ones, the cheapest first."""
    if len(scores) <= max(FEW, count):
        order = scores.argsort(kind="stable")[:count]
    else:
        places = (scores <= np.partition(scores, count - 1)[count - 1]).nonzero()[0]
        order = places[scores[places].argsort(kind="stable")[:count]]
    return [i for i in order.tolist() if scores[i] < math.inf]


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
