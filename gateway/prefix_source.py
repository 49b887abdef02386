"""From which worker a prefill worker may get the beginning of a prompt. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from baton.core.worker_info import WorkerInfo
from gateway.candidate import Candidate


@dataclass(frozen=True, slots=True)
class Holder:
    """It may be wrong: whoever is asked has the last word."""

    candidate: Candidate
    num_tokens: int  # of the prompt, from the first one on, that it may have cached


@dataclass(frozen=True, slots=True)
class Source:
    worker: WorkerInfo
    num_tokens: int  # of the prompt, from the first one on, that it may have


def prefix_source(prefill: WorkerInfo, holders: Sequence[Holder]) -> Source | None:
    """The holder of most of the prompt, if that is more than `prefill` has.

    Only one whose blocks fit, and that takes requests: one that drains lends nothing. Among equals
    the one with least to do.
    """
    held = {holder.candidate.info.instance_id: holder.num_tokens for holder in holders}
    own = held.get(prefill.instance_id, 0)
    able = [h for h in holders if h.num_tokens > own and _lends(h.candidate, prefill)]
    if not able:
        return None
    best = min(able, key=_cost)
    return Source(best.candidate.info, best.num_tokens)


def _lends(candidate: Candidate, prefill: WorkerInfo) -> bool:
    return candidate.takes_requests and candidate.info.fingerprint == prefill.fingerprint


def _cost(holder: Holder) -> tuple[int, int, str]:
    candidate = holder.candidate
    return -holder.num_tokens, candidate.requests, candidate.info.worker_id
