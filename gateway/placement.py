"""Where a request runs: a prefill and a decode worker, or a decode worker alone. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from baton.core.worker_info import WorkerInfo
from gateway.candidate import Candidate, Rank

NOTHING_HELD: Mapping[str, int] = {}

_rank = attrgetter("rank")


@dataclass(frozen=True, slots=True)
class Pair:
    prefill: WorkerInfo
    decode: WorkerInfo


@dataclass(frozen=True, slots=True)
class Alone:
    """The decode worker reads the prompt itself."""

    decode: WorkerInfo


Placement = Pair | Alone


def _no_doubt(prefill: WorkerInfo, decode: WorkerInfo) -> bool:
    return False


def place(
    candidates: Sequence[Candidate],
    prompt_tokens: int,
    doubted: Callable[[WorkerInfo, WorkerInfo], bool] = _no_doubt,
    held: Mapping[str, int] = NOTHING_HELD,
    may_be_alone: bool = True,
) -> Placement | None:
    """None: nothing fits now, and a change in the cluster may help.

    The cheapest decode worker that has a partner, with its cheapest partner; one whose link is not
    `doubted` if there is any. `held`: how many of the prompt's tokens are cached, by instance id.
    Workers of unequal fingerprint are never paired. Decode works alone only when no prefill worker
    lives, and where it `may_be_alone`.
    """
    prefills = [c for c in candidates if c.prefills and c.alive]
    decodes = _roomy(candidates, prompt_tokens)
    last_resort: Pair | None = None
    for decode in _by_cost(decodes, prompt_tokens, held):
        if not prefills and may_be_alone:
            return Alone(decode.info)
        partners = [c for c in prefills if c.takes_requests and c.kind == decode.kind]
        for prefill in _by_cost(partners, prompt_tokens, held):
            pair = Pair(prefill.info, decode.info)
            if not doubted(pair.prefill, pair.decode):
                return pair
            last_resort = last_resort or pair
    return last_resort


def refuge(
    candidates: Sequence[Candidate], source: Candidate, known_tokens: int
) -> WorkerInfo | None:
    """The cheapest decode worker that may go on with what `source` writes now, its KV included.
    None: nobody has room.
    """
    equal = [c for c in _roomy(candidates, known_tokens) if c.kind == source.kind]
    return min(equal, key=_rank).info if equal else None


def _roomy(candidates: Sequence[Candidate], num_tokens: int) -> list[Candidate]:
    """Decode workers with room for so many and one more; prefill workers queue, these refuse."""
    return [
        c for c in candidates if not c.prefills and c.takes_requests and c.free_tokens > num_tokens
    ]


def _by_cost(
    candidates: Sequence[Candidate], prompt_tokens: int, held: Mapping[str, int]
) -> Iterator[Candidate]:
    """The cheapest first. Rarely is a second asked for, so only then are they sorted."""

    def cost(candidate: Candidate) -> Rank:
        return candidate.cost(prompt_tokens - held.get(candidate.instance_id, 0))

    if not candidates:
        return
    first = min(_shortlist(candidates, held), key=cost)
    yield first
    yield from sorted((c for c in candidates if c is not first), key=cost)


def _shortlist(candidates: Sequence[Candidate], held: Mapping[str, int]) -> list[Candidate]:
    """Of those that hold equally much, the first by rank; the cheapest of all is among them."""
    if not held:
        return [min(candidates, key=_rank)]
    best: dict[int, Candidate] = {}
    for candidate in candidates:
        tokens = held.get(candidate.instance_id, 0)
        rival = best.get(tokens)
        if rival is None or candidate.rank < rival.rank:
            best[tokens] = candidate
    return list(best.values())
