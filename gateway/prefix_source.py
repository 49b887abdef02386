"""From which worker a prefill worker may get the beginning of a prompt. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from baton.core.worker_info import WorkerInfo
from gateway.placement import Candidate


class Holders(Protocol):
    """Who may have which blocks cached. It may be wrong: whoever is asked has the last word."""

    def held(self, names: Sequence[bytes]) -> Mapping[str, int]:
        """By instance id: how many of the named blocks, from the first one on."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    worker: WorkerInfo
    num_tokens: int  # of the prompt, from the first one on, that it may have


def prefix_source(
    names: Sequence[bytes],
    prefill: WorkerInfo,
    holders: Holders,
    candidates: Iterable[Candidate],
) -> Source | None:
    """The candidate that may have most of the named blocks, if that is more than `prefill` has.

    Only one whose blocks fit, and that takes requests: one that drains lends nothing. Among equals
    the one with least to do.
    """
    held = holders.held(names)
    best: Candidate | None = None
    most = held.get(prefill.instance_id, 0)
    for candidate in sorted(candidates, key=_cost):
        count = held.get(candidate.info.instance_id, 0)
        if count > most and _lends(candidate, prefill):
            best, most = candidate, count
    if best is None:
        return None
    return Source(best.info, most * prefill.fingerprint.layout.block_size)


def _lends(candidate: Candidate, prefill: WorkerInfo) -> bool:
    return candidate.takes_requests and candidate.info.fingerprint == prefill.fingerprint


def _cost(candidate: Candidate) -> tuple[int, str]:
    return candidate.requests, candidate.info.worker_id
