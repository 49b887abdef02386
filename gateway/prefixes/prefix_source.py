"""From which worker a prefill worker may get the beginning of a prompt. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from baton.core.kv_events import stride_of
from baton.core.worker_info import WorkerInfo
from gateway.placing.candidate import Candidate


@dataclass(frozen=True, slots=True)
class Holder:
    """It may be wrong: whoever is asked has the last word."""

    candidate: Candidate
    num_tokens: int  # of the prompt, from the first one on, that it told of: whole strides


@dataclass(frozen=True, slots=True)
class Source:
    worker: WorkerInfo
    num_tokens: int  # of the prompt, from the first one on, that it may have: whole blocks


def prefix_source(
    prefill: WorkerInfo, holders: Sequence[Holder], prompt_tokens: int
) -> Source | None:
    """The holder of most of the prompt, if that is more than `prefill` has. It is asked for up to a
    stride more than it has told of, but not for the last token's block, from which is drawn.

    Only one whose blocks fit, and that takes requests: one that drains lends nothing. Among equals
    the one with least to do.
    """
    held = {holder.candidate.info.instance_id: holder.num_tokens for holder in holders}
    own = held.get(prefill.instance_id, 0)
    able = [h for h in holders if h.num_tokens > own and _lends(h.candidate, prefill)]
    if not able:
        return None
    best = min(able, key=_cost)
    block_size = prefill.fingerprint.layout.block_size
    most = (prompt_tokens - 1) // block_size * block_size
    return Source(best.candidate.info, min(most, best.num_tokens + stride_of(block_size)))


def _lends(candidate: Candidate, prefill: WorkerInfo) -> bool:
    return candidate.takes_requests and candidate.info.fingerprint == prefill.fingerprint


def _cost(holder: Holder) -> tuple[int, int, str]:
    candidate = holder.candidate
    return -holder.num_tokens, candidate.requests, candidate.info.worker_id
