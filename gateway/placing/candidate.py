"""A worker as placement sees it."""

import math
from dataclasses import dataclass, field

from baton.core.room import NO_ROOM, Room
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from gateway.placing.penalties import DOUBT
from gateway.placing.speed_model import UNKNOWN, Speed


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
    room: Room | None = None  # None: what its load tells

    instance_id: str = field(init=False)
    prefills: bool = field(init=False)
    alive: bool = field(init=False)  # worth waiting for; one that drains is not
    takes_requests: bool = field(init=False)
    takes_answers: bool = field(init=False)  # it takes requests, and writes
    free_tokens: int = field(init=False)  # room for so many, in whole blocks
    fits: float = field(init=False)  # likewise for a newcomer; an empty pool takes whoever comes
    block_tokens: int = field(init=False)
    pool_tokens: int = field(init=False)
    free_seats: float = field(init=False)  # for whatever priority; there may be more
    worst: float = field(init=False)  # priority of those that would give way; -inf: nobody
    requests: int = field(init=False)  # on it now
    context: int = field(init=False)  # tokens that they attend to
    # Terms of `scoring`, in seconds, as far as no prompt is needed for them:
    wait: float = field(init=False)  # until its line is read
    read_step: float = field(init=False)  # per prompt
    read_base: float = field(init=False)  # what a prompt waits for and takes, whatever its length
    read_token: float = field(init=False)  # per token of one, its share of steps included
    half_pair: float = field(init=False)
    sequence: float = field(init=False)  # of a step, per sequence that comes
    token: float = field(init=False)  # likewise, per token that it attends to
    base: float = field(init=False)  # of a step, with what is there now
    beside: float = field(init=False)  # of a step, what is not the step's own
    beside_token: float = field(
        init=False
    )  # likewise, per token of a prompt that is read meanwhile
    rounds: float = field(init=False)  # answers that are written before one's turn, and one's own
    seated_base: float = field(init=False)  # of a token of an answer, the wait for a place included
    seated_sequence: float = field(init=False)  # likewise, what others lose included, per choice
    seated_token: float = field(init=False)  # and per token that the answer attends to
    preference: float = field(init=False)  # decides among equals, and keeps doubted ones for last

    def __post_init__(self) -> None:
        info, load, speed = self.info, self.load, self.speed
        self.kind = self.kind or info.fingerprint.digest()
        self.instance_id = info.instance_id
        self.prefills = info.role is Role.PREFILL
        self.alive = load is None or load.state is WorkerState.READY
        self.takes_requests = load is not None and self.alive and not self.refused
        self.takes_answers = self.takes_requests and not self.prefills
        self.free_tokens = self.context = self.pool_tokens = 0
        self.block_tokens = info.fingerprint.layout.block_size
        self.free_seats, self.worst = math.inf, -math.inf
        requests, self.rounds = self.in_flight, 1.0
        if load is not None:  # it is late, but counts other gateways' requests too
            room = self.room = self.room or load.room
            if room.lacks is None:
                self.free_tokens = room.free_blocks * self.block_tokens
            else:
                self.worst = room.lacks
            if room.yielding:
                self.worst = max(self.worst, room.yielding[-1][0])
            if room.seats is not None:
                self.free_seats = room.seats - sum(count for _, count in room.seated)
            self.pool_tokens = load.total_blocks * self.block_tokens
            self.context = (load.total_blocks - load.free_blocks) * self.block_tokens
            requests = max(requests, load.running + load.waiting)
            if load.waiting:
                self.rounds += load.waiting / max(1, load.running)
        self.fits = -1.0
        if self.takes_answers:
            self.fits = math.inf if self.free_tokens >= self.pool_tokens else self.free_tokens
        self.requests = requests
        self.wait = self.unread * speed.per_token
        self.read_step = speed.read_step
        self.read_token = speed.token + speed.read_step / speed.chunk
        self.half_pair = 0.5 * speed.pair
        self.sequence, self.token = speed.sequence, speed.context
        self.beside = speed.sequence * requests + speed.context * self.context
        self.beside_token = self.beside / speed.chunk
        self.base = speed.step + self.beside
        crowd = self.rounds + requests
        self.seated_base = self.base * self.rounds
        self.seated_sequence, self.seated_token = self.sequence * crowd, self.token * crowd
        self.preference = 1e-7 * requests + (DOUBT if self.doubted else 0.0)
        self.read_base = self.wait + self.read_step + self.preference

    def needs(self, tokens: int, choices: int) -> int:
        """Tokens that must be free, in whole blocks, for so many and one block more per choice."""
        return min(tokens + choices * self.block_tokens, self.pool_tokens)

    def has_seats(self, choices: int, priority: int) -> bool:
        """For so many, beside those that are less urgent."""
        return self.free_seats >= choices or (self.room or NO_ROOM).seats_for(choices, priority)

    def makes_room(self, tokens: int, choices: int, priority: int) -> bool:
        """Where it has none: whether those that are less urgent would make it."""
        room = self.room or NO_ROOM
        blocks = room.most_for(priority)
        enough = blocks * self.block_tokens >= self.needs(tokens, choices)
        return enough and room.seats_for(choices, priority)
