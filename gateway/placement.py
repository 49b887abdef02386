"""Where a request runs: a prefill and a decode worker, or a decode worker alone. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState


@dataclass(frozen=True, slots=True)
class Candidate:
    """A usable member of the cluster, as far as this gateway knows it."""

    info: WorkerInfo
    load: WorkerLoad | None  # None: a member, but not in touch with it right now
    in_flight: int = 0  # requests of this gateway on it
    refused: bool = False  # refused this request, and nothing has changed since
    doubted: bool = False  # broke under this request, and was not heard of since

    @property
    def alive(self) -> bool:
        """Worth waiting for. One that drains is not."""
        return self.load is None or self.load.state is WorkerState.READY

    @property
    def takes_requests(self) -> bool:
        return self.load is not None and self.alive and not self.refused

    @property
    def requests(self) -> int:
        """On it now. The reading is late, but counts other gateways' requests too."""
        reported = self.load.running + self.load.waiting if self.load else 0
        return max(self.in_flight, reported)


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
) -> Placement | None:
    """None: nothing fits now, and a change in the cluster may help.

    The least loaded decode worker that has a partner, with its least loaded partner; one whose link
    is not `doubted` if there is any. Workers of unequal fingerprint are never paired. Decode works
    alone only when no prefill worker lives.
    """
    prefills = [c for c in candidates if c.info.role is Role.PREFILL and c.alive]
    decodes = [c for c in candidates if c.info.role is Role.DECODE and _fits(c, prompt_tokens)]
    pairs: list[Pair] = []
    for decode in sorted(decodes, key=_decode_cost):
        if not prefills:
            return Alone(decode.info)
        partners = [c for c in prefills if c.takes_requests and _equal(c, decode)]
        pairs += [Pair(c.info, decode.info) for c in sorted(partners, key=_prefill_cost)]
    sound = (pair for pair in pairs if not doubted(pair.prefill, pair.decode))
    return next(sound, pairs[0] if pairs else None)


def refuge(
    candidates: Sequence[Candidate], source: WorkerInfo, known_tokens: int
) -> WorkerInfo | None:
    """The least loaded decode worker that may go on with what `source` writes now, its KV included.
    None: nobody has room.
    """
    decodes = [c for c in candidates if c.info.role is Role.DECODE and _fits(c, known_tokens)]
    equal = [c for c in decodes if c.info.fingerprint == source.fingerprint]
    return min(equal, key=_decode_cost).info if equal else None


def _fits(decode: Candidate, prompt_tokens: int) -> bool:
    """Room for the prompt and one more token; prefill workers queue, decode workers refuse."""
    if not decode.takes_requests or decode.load is None:
        return False
    needed = decode.info.fingerprint.layout.blocks_for(prompt_tokens + 1)
    return decode.load.free_blocks >= needed


def _equal(one: Candidate, other: Candidate) -> bool:
    return one.info.fingerprint == other.info.fingerprint


def _decode_cost(decode: Candidate) -> tuple[bool, int, float, str]:
    used = decode.load.kv_usage if decode.load else 1.0
    return decode.doubted, decode.requests, used, decode.info.worker_id


def _prefill_cost(prefill: Candidate) -> tuple[bool, int, str]:
    return prefill.doubted, prefill.requests, prefill.info.worker_id
