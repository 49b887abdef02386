"""A worker as placement sees it."""

from dataclasses import dataclass, field

from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from gateway.scoring import DOUBT
from gateway.speed_model import UNKNOWN, Speed


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
    speed: Speed = UNKNOWN

    instance_id: str = field(init=False)
    prefills: bool = field(init=False)
    alive: bool = field(init=False)  # worth waiting for; one that drains is not
    takes_requests: bool = field(init=False)
    free_tokens: int = field(init=False)  # room for so many
    requests: int = field(init=False)  # on it now
    context: int = field(init=False)  # tokens that they attend to
    # Terms of `scoring`, in seconds, as far as no prompt is needed for them:
    wait: float = field(init=False)  # until its line is read
    read_step: float = field(init=False)  # per prompt
    read_token: float = field(init=False)  # per token of one, its share of steps included
    half_pair: float = field(init=False)
    sequence: float = field(init=False)  # of a step, per sequence that comes
    token: float = field(init=False)  # likewise, per token that it attends to
    base: float = field(init=False)  # of a step, with what is there now
    beside: float = field(init=False)  # of a step, what is not the step's own
    rounds: float = field(init=False)  # answers that are written before one's turn, and one's own
    preference: float = field(init=False)  # decides among equals, and keeps doubted ones for last

    def __post_init__(self) -> None:
        info, load, speed = self.info, self.load, self.speed
        self.kind = self.kind or info.fingerprint.digest()
        self.instance_id = info.instance_id
        self.prefills = info.role is Role.PREFILL
        self.alive = load is None or load.state is WorkerState.READY
        self.takes_requests = load is not None and self.alive and not self.refused
        self.free_tokens = self.context = 0
        requests, self.rounds = self.in_flight, 1.0
        if load is not None:  # it is late, but counts other gateways' requests too
            block_size = info.fingerprint.layout.block_size
            self.free_tokens = load.free_blocks * block_size
            self.context = (load.total_blocks - load.free_blocks) * block_size
            requests = max(requests, load.running + load.waiting)
            if load.waiting:
                self.rounds += load.waiting / max(1, load.running)
        self.requests = requests
        self.wait = self.unread * speed.per_token
        self.read_step = speed.read_step
        self.read_token = speed.token + speed.read_step / speed.chunk
        self.half_pair = 0.5 * speed.pair
        self.sequence, self.token = speed.sequence, speed.context
        self.beside = speed.sequence * requests + speed.context * self.context
        self.base = speed.step + self.beside
        self.preference = 1e-7 * requests + (DOUBT if self.doubted else 0.0)
