"""What a sender machine is told, and what it tells its surroundings to do."""

from dataclasses import dataclass
from enum import Enum

from baton.core.handoff import Epoch
from baton.core.token_record import TokenRecord


class Outcome(Enum):
    """The verdict of a Confirm."""

    OK = "ok"  # the lease held until now; the bytes that were read are usable
    STALE = "stale"  # it did not, or is another one; they are worthless


class Refusal(Enum):
    """Why a Pull is turned away; the value is the sentence for the caller."""

    WRONG_TICKET = "the ticket does not fit this hand-off"
    TAKEN = "another Pull owns this hand-off"
    ENDED = "this hand-off is over"
    ABORTED = "this hand-off was aborted"
    NO_PREFILL = "the Prefill of this hand-off did not come in time"
    TOO_MANY = "too many Pulls wait for the Prefill of this hand-off"


class TicketFault(Enum):
    """What is wrong with a ticket that is refused."""

    FORGED = "forged"
    USED = "used"  # a Pull has come with it already
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """How long a sender holds things, and how much it remembers."""

    ttl_s: float = 30.0  # of a lease, from the moment everything is computed
    pull_wait_s: float = 30.0  # that a Pull waits for its Prefill
    waiting_pulls: int = 4  # per hand-off whose Prefill has not come
    tombstone_s: float = 120.0  # that ended hand-offs and early aborts are remembered
    tombstones: int = 4096  # of each kind
    longest_hold_s: float = (
        120.0  # that a lease outlives its Prefill's stream, from one word to the next
    )
    held_blocks: int = 0  # of all leases that may do so; 0: none may


@dataclass(frozen=True, slots=True)
class PrefillOpened:
    """The request has come; `ticket` is what its Pull must show.

    `hold_s`: once everything is computed, the lease is its own owner for so long, until a Pull
    attaches; 0: it is the stream's, as ever.
    """

    ticket: bytes
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BlocksLent:
    """The blocks of the whole prompt, one reference each, now the machine's to give back."""

    blocks: tuple[int, ...]
    num_tokens: int  # of the prompt


@dataclass(frozen=True, slots=True)
class ChunkComputed:
    """KV of the first `num_tokens` tokens is final."""

    num_tokens: int


@dataclass(frozen=True, slots=True)
class PrefillFinished:
    """All KV is final. `continuation` is False when the records end every choice."""

    records: tuple[TokenRecord, ...]
    continuation: bool


@dataclass(frozen=True, slots=True)
class PrefillFailed:
    """The engine has given up; it holds nothing of the request any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class PrefillStreamClosed:
    """The gateway's stream is gone."""


@dataclass(frozen=True, slots=True)
class HoldRenewed:
    """Somebody who has the ticket still wants the blocks: they are held for `hold_s` from now on."""

    ticket: bytes
    hold_s: float


@dataclass(frozen=True, slots=True)
class PullOpened:
    pull_id: int  # names the stream within this process
    ticket: bytes


@dataclass(frozen=True, slots=True)
class PullClosed:
    """The stream is gone, by whichever side."""

    pull_id: int


@dataclass(frozen=True, slots=True)
class ConfirmAsked:
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class AbortAsked:
    ticket: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """This worker gives the hand-off up, because it stops."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; look at the deadlines."""


SenderEvent = (
    PrefillOpened
    | BlocksLent
    | ChunkComputed
    | PrefillFinished
    | PrefillFailed
    | PrefillStreamClosed
    | HoldRenewed
    | PullOpened
    | PullClosed
    | ConfirmAsked
    | AbortAsked
    | Abandoned
    | Tick
)


@dataclass(frozen=True, slots=True)
class SendLease:
    """The first message of a Pull."""

    pull_id: int
    epoch: Epoch
    num_tokens: int
    num_blocks: int
    ttl_ms: int  # remaining, once everything is computed


@dataclass(frozen=True, slots=True)
class SendSegment:
    """Consecutive blocks of the prompt whose bytes are final."""

    pull_id: int
    first_block: int
    block_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SendLast:
    """Everything has been named. The stream stays open: it still owns the lease."""

    pull_id: int
    records: tuple[TokenRecord, ...]
    continuation: bool


@dataclass(frozen=True, slots=True)
class RefusePull:
    pull_id: int
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class ClosePull:
    """End the stream of the attached Pull, with an error unless `reason` is None."""

    pull_id: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class TicketRefused:
    """Somebody showed a ticket that opens nothing; for the log and the count."""

    rpc: str
    fault: TicketFault


@dataclass(frozen=True, slots=True)
class AbortPrefill:
    """The engine must drop the request."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReleaseBlocks:
    """Give one reference on each block back."""

    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnswerConfirm:
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class AnswerRenewal:
    """How long the blocks are held now; 0: they are not."""

    left_s: float


@dataclass(frozen=True, slots=True)
class LeaseOver:
    """The hand-off has ended and holds nothing; said once."""

    confirmed: bool
    reason: str


SenderInstruction = (
    SendLease
    | SendSegment
    | SendLast
    | RefusePull
    | ClosePull
    | TicketRefused
    | AbortPrefill
    | ReleaseBlocks
    | AnswerConfirm
    | AnswerRenewal
    | LeaseOver
)
