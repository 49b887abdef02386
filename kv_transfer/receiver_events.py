"""What a receiver machine is told, and what it tells its surroundings to do."""

from dataclasses import dataclass

from baton.core.errors import BatonError
from baton.core.handoff import Epoch
from baton.core.token_record import TokenRecord


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """A bound for every wait on the other side, seconds."""

    reserved_s: float = 30.0  # from the machine's birth to `Started`
    opening_s: float = 300.0  # for the lease: the prompt waits in the sender's queue meanwhile
    receiving_s: float = 60.0  # without any progress
    confirming_s: float = 10.0
    confirm_attempts: int = 3  # the question is repeated when its answer is lost
    block_reads: int = 3  # of one block, before a wrong checksum ends the hand-off


@dataclass(frozen=True, slots=True)
class Started:
    """There is room here; the hand-off may begin."""


@dataclass(frozen=True, slots=True)
class LeaseDescribed:
    epoch: Epoch
    fingerprint_digest: str
    num_tokens: int
    num_blocks: int
    checksums: bool = False  # they were asked for: no segment may lack them


@dataclass(frozen=True, slots=True)
class BlocksAllocated:
    """The answer to AllocateBlocks: one reference on each block is now the machine's."""

    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AllocationRefused:
    """The other answer to AllocateBlocks."""


@dataclass(frozen=True, slots=True)
class SegmentReady:
    """`block_ids` in the sender's pool are the prompt's blocks from `first_block` on."""

    first_block: int
    block_ids: tuple[int, ...]
    checksums: tuple[int, ...] = ()  # one per block, or none


@dataclass(frozen=True, slots=True)
class ReadDone:
    """Every byte of the read has landed; `wrong` are the places in it whose checksum differs."""

    read_id: int
    wrong: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """Some bytes of the read may have landed; no more will."""

    read_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class LastReceived:
    records: tuple[TokenRecord, ...]
    continuation: bool


@dataclass(frozen=True, slots=True)
class PullBroken:
    """The stream, or the way to it, is gone."""

    error: BatonError


@dataclass(frozen=True, slots=True)
class ConfirmAnswered:
    ok: bool


@dataclass(frozen=True, slots=True)
class ConfirmLost:
    """The question or its answer got lost; nobody knows which."""

    reason: str


@dataclass(frozen=True, slots=True)
class AbortRequested:
    """This side does not want the KV any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """Look at the deadline; a call before it does nothing."""


ReceiverEvent = (
    Started
    | LeaseDescribed
    | BlocksAllocated
    | AllocationRefused
    | SegmentReady
    | ReadDone
    | ReadFailed
    | LastReceived
    | PullBroken
    | ConfirmAnswered
    | ConfirmLost
    | AbortRequested
    | DeadlinePassed
)


@dataclass(frozen=True, slots=True)
class OpenPull:
    """Find the sender and open the stream."""


@dataclass(frozen=True, slots=True)
class ClosePull:
    """The stream is not needed any more; closing it gives the lease up, if there still is one."""


@dataclass(frozen=True, slots=True)
class AllocateBlocks:
    """For what is not here yet. Answered by BlocksAllocated or AllocationRefused, exactly once."""

    num_blocks: int


@dataclass(frozen=True, slots=True)
class StartRead:
    """Copy block by block, then compare. Answered by ReadDone or ReadFailed, exactly once."""

    read_id: int
    source_blocks: tuple[int, ...]
    target_blocks: tuple[int, ...]
    segment: int  # the one that the blocks were named by: its first block in the prompt
    checksums: tuple[int, ...] = ()  # one per block; none: nothing to compare
    attempt: int = 1  # from 2 on: blocks whose checksum was wrong are read again


@dataclass(frozen=True, slots=True)
class CancelReads:
    """Bring every read to its answer soon."""


@dataclass(frozen=True, slots=True)
class SendConfirm:
    """Answered by ConfirmAnswered or ConfirmLost. `again`: an answer was lost before."""

    epoch: Epoch
    again: bool


@dataclass(frozen=True, slots=True)
class SendAbort:
    """Tell the sender; nobody waits for the answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeliverUsable:
    """The blocks hold the KV of the whole prompt; their references go to the caller."""

    blocks: tuple[int, ...]
    records: tuple[TokenRecord, ...]
    continuation: bool


@dataclass(frozen=True, slots=True)
class ReleaseBlocks:
    """No byte can land in them (any more); give one reference on each back."""

    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fail:
    """The hand-off is over without usable bytes."""

    error: BatonError


ReceiverInstruction = (
    OpenPull
    | ClosePull
    | AllocateBlocks
    | StartRead
    | CancelReads
    | SendConfirm
    | SendAbort
    | DeliverUsable
    | ReleaseBlocks
    | Fail
)
