"""A worker as placement sees it."""

from dataclasses import dataclass, field

from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from gateway.scoring import DecodeCost, PrefillCost, decode_cost, prefill_cost

Cost = tuple[bool, PrefillCost | DecodeCost, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A usable member of the cluster, as far as this gateway knows it.

    What a decision asks of every worker is computed once, not per decision.
    """

    info: WorkerInfo
    load: WorkerLoad | None  # None: a member, but not in touch with it right now
    in_flight: int = 0  # requests of this gateway on it
    unread: int = 0  # of those: tokens that are to be computed before their answers begin
    refused: bool = False  # refused this request, and nothing has changed since
    doubted: bool = False  # broke under this request, and was not heard of since
    kind: str = ""  # equal for workers of equal fingerprint, which may be paired

    instance_id: str = field(init=False)
    prefills: bool = field(init=False)
    alive: bool = field(init=False)  # worth waiting for; one that drains is not
    takes_requests: bool = field(init=False)
    free_tokens: int = field(init=False)  # room for so many
    rank: Cost = field(init=False)  # among those that hold equally much of a prompt

    def __post_init__(self) -> None:
        alive = self.load is None or self.load.state is WorkerState.READY
        free_blocks = self.load.free_blocks if self.load else 0
        derived = {
            "kind": self.kind or self.info.fingerprint.digest(),
            "instance_id": self.info.instance_id,
            "prefills": self.info.role is Role.PREFILL,
            "alive": alive,
            "takes_requests": self.load is not None and alive and not self.refused,
            "free_tokens": free_blocks * self.info.fingerprint.layout.block_size,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "rank", self.cost(0))

    def cost(self, uncached: int) -> Cost:
        """Of a prompt of which so many tokens are not cached here. Never the same for two."""
        cost: PrefillCost | DecodeCost
        reported = self.load.running + self.load.waiting if self.load else 0
        requests = max(self.in_flight, reported)  # the reading is late, but counts others' too
        if self.prefills:
            unread = max(self.unread, self.load.unread_tokens if self.load else 0)
            cost = prefill_cost(unread, uncached, requests)
        else:
            cost = decode_cost(requests, uncached, self.load.kv_usage if self.load else 1.0)
        return self.doubted, cost, self.info.worker_id
