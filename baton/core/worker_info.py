"""What a worker says of itself: once when it joins, and again and again while it works."""

from dataclasses import dataclass
from enum import Enum

from baton.core.errors import InternalError
from baton.core.fingerprint import Fingerprint
from baton.core.labels import Labels
from baton.core.room import NO_ROOM, Room
from baton.core.step_totals import NO_TOTALS, StepTotals


class Role(Enum):
    PREFILL = "prefill"
    DECODE = "decode"
    ENCODE = "encode"  # images; it has no language model, and so no other role to change to

    @property
    def other(self) -> "Role":
        """What it may change to. Of `ANSWERING` alone."""
        if self not in ANSWERING:
            raise InternalError(f"a worker that is there to {self.value} has no other role")
        return Role.DECODE if self is Role.PREFILL else Role.PREFILL


ANSWERING = (Role.PREFILL, Role.DECODE)  # those that hold the whole model and its KV


class WorkerState(Enum):
    READY = "ready"
    DRAINING = "draining"  # takes nothing new, finishes what it has


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Fixed for the life of one process in one role. A worker that was restarted or has changed its
    role has a new `instance_id`.
    """

    worker_id: str  # stable across restarts, such as "prefill-0"; says nothing of the role
    instance_id: str  # random, once per process and role
    role: Role
    address: str  # host:port of its gRPC server
    metrics_url: str
    pid: int
    model: str  # folder or hub id
    max_model_len: int  # prompt + answer, tokens
    num_blocks: int
    fingerprint: Fingerprint
    labels: Labels = ()  # that requests may choose it by
    flips: int = 0  # how often this process has changed its role
    files_digest: str = ""  # of configuration and weights as it has found them; or empty


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """A reading; the latest one wins."""

    state: WorkerState
    running: int  # requests in the batch
    waiting: int  # requests not yet in it
    free_blocks: int  # neither used nor reserved
    reserved_blocks: int
    leased_blocks: int  # lent to hand-offs that are not over
    total_blocks: int
    unread_tokens: int = 0  # of prompts that are here, not computed yet
    steps: StepTotals = NO_TOTALS  # of its engine, since its process began
    next_role: Role | None = None  # what it drains for; None: to leave, if it drains
    room: Room = NO_ROOM  # what newcomers find

    @property
    def kv_usage(self) -> float:
        """Share of the pool in use, 0 to 1."""
        return 1.0 - self.free_blocks / self.total_blocks if self.total_blocks else 0.0
