"""A worker as placement sees it."""

from dataclasses import dataclass, field

from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from gateway.scoring import decode_cost, prefill_cost

Rank = tuple[bool, float, float, float, str]


@dataclass(slots=True, eq=False)
class Candidate:
    """A usable member of the cluster, as far as this gateway knows it. Not to be changed.

    What a decision asks of every worker is computed once, not per decision. (Frozen it would take
    three times as long to make, and thousands are made in a second.)
    """

    info: WorkerInfo
    load: WorkerLoad | None  # None: a member, but not in touch with it right now
    in_flight: int = 0  # requests of this gateway on it
    unread: int = 0  # tokens of prompts that are to be computed there
    refused: bool = False  # refused this request, and nothing has changed since
    doubted: bool = False  # broke under this request, and was not heard of since
    kind: str = ""  # equal for workers of equal fingerprint, which may be paired

    instance_id: str = field(init=False)
    prefills: bool = field(init=False)
    alive: bool = field(init=False)  # worth waiting for; one that drains is not
    takes_requests: bool = field(init=False)
    free_tokens: int = field(init=False)  # room for so many
    requests: int = field(init=False)  # on it now
    rank: Rank = field(init=False)  # among those that hold equally much of a prompt

    def __post_init__(self) -> None:
        info, load = self.info, self.load
        self.kind = self.kind or info.fingerprint.digest()
        self.instance_id = info.instance_id
        self.prefills = info.role is Role.PREFILL
        self.alive = load is None or load.state is WorkerState.READY
        self.takes_requests = load is not None and self.alive and not self.refused
        self.free_tokens, self.requests = 0, self.in_flight
        if load is not None:  # it is late, but counts other gateways' requests too
            self.free_tokens = load.free_blocks * info.fingerprint.layout.block_size
            self.requests = max(self.requests, load.running + load.waiting)
        self.rank = self.cost(0)

    def cost(self, uncached: int) -> Rank:
        """Of a prompt of which so many tokens are not cached here. Never the same for two."""
        if self.prefills:
            one, two, three = prefill_cost(self.unread, uncached, self.requests)
        else:
            usage = 1.0 if self.load is None else self.load.kv_usage
            one, two, three = decode_cost(self.requests, uncached, usage)
        return self.doubted, one, two, three, self.info.worker_id
