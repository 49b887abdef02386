"""What it costs to have a prompt read and its answer written somewhere, in seconds. Pure.

`terms_of` says it term by term, for one placement. `reading_scores`, `writing_scores` and
`alone_scores` are the same sums for many workers at once, each without what all of them have in common.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.placing.candidate import Candidate
from gateway.placing.fleet import Columns, Held, Numbers
from gateway.placing.link_model import UNKNOWN_LINK, Link
from gateway.placing.objectives import NONE, Objectives
from gateway.placing.penalties import DOUBT, MISS

NOTHING_HELD: Mapping[str, int] = {}
NO_LINKS: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Ask:
    """What a placement must know of a request, and of what is true of all workers."""

    tokens: int  # to be read
    answer: float = 128.0  # tokens expected, of each choice
    choices: int = 1
    held: Mapping[str, int] = field(default_factory=lambda: NOTHING_HELD)  # tokens, by instance id
    objectives: Objectives = NONE
    doubted_links: frozenset[tuple[str, str]] = NO_LINKS  # of instance ids: to be paired last
    link: Link = UNKNOWN_LINK  # between any two
    relayed: float = 0.0  # seconds of a first token beside line and reading, if prefill gives it
    alone: float = 0.0  # likewise, if the decode worker reads the prompt itself
    may_be_alone: bool = True  # whether it may
    priority: int = 0
    particular: bool = False  # the request names or forbids workers; candidates are what it allows


@dataclass(slots=True)  # not frozen, which would take as long as the sums: a decision makes many
class Terms:
    """Predicted for one placement, in seconds."""

    wait: float  # for what is to be read there before
    read: float
    calls: float  # of the first token beside both
    transfer: float  # exposed; it stands between the first token and the second
    itl: float
    seat: float  # until there is a place in the batch
    answer: float  # tokens
    others: float  # that it costs those who are there already, all of them together
    doubt: int = 0  # of workers and link
    objectives: Objectives = NONE

    @property
    def ttft(self) -> float:
        return self.wait + self.read + self.calls

    @property
    def total(self) -> float:
        """Until the last token, and what it costs others."""
        return self.ttft + self.transfer + self.seat + self.answer * self.itl + self.others

    @property
    def misses(self) -> bool:
        return self.ttft > self.objectives.ttft or self.itl > self.objectives.itl

    @property
    def score(self) -> float:
        """The least is chosen: what meets the objectives before what does not."""
        ttft = self.wait + self.read + self.calls
        score = ttft + self.transfer + self.seat + self.answer * self.itl + self.others
        if self.objectives is not NONE:
            score += miss(ttft - self.objectives.ttft) + miss(self.itl - self.objectives.itl)
        return score + DOUBT * self.doubt


def miss(seconds: float) -> float:
    """Of an objective, by so much: as bad however long. What misses it everywhere goes where it costs
    least, itself and others; else the others miss theirs for a request that is lost anyway.
    """
    return MISS if seconds > 0.0 else 0.0


def terms_of(
    ask: Ask, prefill: Candidate | None, decode: Candidate, link: Link | None = None
) -> Terms:
    """`prefill` None: the decode worker reads the prompt itself, in the same steps in which it
    writes: that takes longer by what it writes in them, and delays those whose answers those are.
    """
    reader = prefill or decode
    cached = ask.held.get(reader.instance_id, 0) if ask.held else 0
    uncached = ask.tokens - cached
    read = reader.speed.reads(uncached, cached)
    more = ask.choices * decode.sequence + ask.tokens * decode.token
    itl = decode.base + more
    others = ask.answer * decode.requests * more
    doubt = decode.doubted + (prefill is not None and prefill.doubted)
    transfer = 0.0
    if prefill is None:
        others += decode.requests * read
        read += decode.beside + uncached * decode.beside_token
    else:
        moved = ask.tokens - ask.held.get(decode.instance_id, 0)
        num_bytes = moved * decode.info.fingerprint.layout.token_bytes
        transfer = (link or ask.link).exposed(num_bytes)
        if ask.doubted_links:
            doubt += (prefill.instance_id, decode.instance_id) in ask.doubted_links
    calls = ask.alone if prefill is None else ask.relayed
    seat = (decode.rounds - 1.0) * ask.answer * itl
    wait, answer, slo = reader.wait, ask.answer, ask.objectives
    # By place: names would take as long as the sums.
    return Terms(wait, read, calls, transfer, itl, seat, answer, others, doubt, slo)


def reading_scores(ask: Ask, prefills: Columns, cached: Held) -> Numbers:
    """Of the first token, for each prefill worker. `cached`: tokens that each has, here as below."""
    tokens = ask.tokens
    found = prefills.read_base + (tokens - cached) * (
        prefills.read_token + prefills.half_pair * (tokens + cached)
    )
    slo = ask.objectives.ttft
    if slo < math.inf:
        found += MISS * (found - prefills.preference > slo - ask.relayed)
    return found


def writing_scores(ask: Ask, decodes: Columns) -> Numbers:
    """Of the answer, its hand-off left out, for each decode worker."""
    tokens, choices, slo = ask.tokens, ask.choices, ask.objectives.itl
    found = decodes.preference + ask.answer * (
        decodes.seated_base + choices * decodes.seated_sequence + tokens * decodes.seated_token
    )
    if slo < math.inf:
        itl = decodes.base + choices * decodes.sequence + tokens * decodes.token
        found += MISS * (itl > slo)
    return found


def transfer_scores(ask: Ask, decodes: Columns, cached: Held) -> Held:
    """Of the hand-off, for each decode worker, over a link like any other."""
    if not len(decodes):
        return 0.0
    num_bytes = decodes.candidates[0].info.fingerprint.layout.token_bytes
    return ask.link.per_byte * num_bytes * (ask.tokens - cached)


def alone_scores(ask: Ask, decodes: Columns, cached: Held) -> Numbers:
    """Of the first token and of the delay to others, for each decode worker that reads alone."""
    tokens, uncached = ask.tokens, ask.tokens - cached
    read = decodes.read_step + uncached * (
        decodes.read_token + decodes.half_pair * (tokens + cached)
    )
    ttft = decodes.wait + read + decodes.beside + uncached * decodes.beside_token
    found = ttft + decodes.requests * read
    slo = ask.objectives.ttft
    if slo < math.inf:
        found += MISS * (ttft > slo - ask.alone)
    return found
