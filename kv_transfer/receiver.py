"""One hand-off as the decode side sees it: what to read, when bytes are usable, when blocks go back.

Pure: events in, instructions out, time as a number. It knows no socket, clock, lock or await.
docs/hand-off.md says what each state means.
"""

from baton.core.errors import BatonError, TransferError, UnavailableError
from baton.core.handoff import Epoch
from kv_transfer import receiver_events as ev
from kv_transfer.coverage import Coverage
from kv_transfer.moves import Story
from kv_transfer.reads import Reads
from kv_transfer.receiver_events import ReceiverEvent, ReceiverInstruction, ReceiverLimits
from kv_transfer.receiver_states import MOVES, TERMINAL, ReceiverState

R = ReceiverState
Instructions = list[ReceiverInstruction]


class ReceiverMachine:
    """Call `handle` with every event; do what it returns, in order, before the next event."""

    def __init__(
        self,
        instance_id: str,
        fingerprint_digest: str,
        block_size: int,
        limits: ReceiverLimits,
        now: float,
        held: tuple[int, ...] = (),
    ) -> None:
        """`instance_id` is the sender's, the digest is of this side's own fingerprint.

        `held` are full blocks that hold the first tokens already, one reference each now the
        machine's: they are not read, nor written.
        """
        self.state = R.RESERVED
        self.num_tokens = 0
        self.num_held = len(held)  # of the target blocks, the first ones
        self._instance_id = instance_id
        self._digest = fingerprint_digest
        self.block_size = block_size
        self._limits = limits
        self._deadline: float | None = now + limits.reserved_s
        self._epoch: Epoch | None = None
        self._coverage = Coverage(0)
        self._checksums = False
        self._targets = held
        self._placed = False  # there is a target block for every position
        self._allocating = False
        self._unread: list[ev.SegmentReady] = []  # named before there were target blocks
        self._reads = Reads(limits.block_reads)
        self._last: ev.LastReceived | None = None
        self._confirms = 0
        self._error: BatonError | None = None
        self._story = Story()

    @property
    def over(self) -> bool:
        return self.state in TERMINAL

    @property
    def num_blocks(self) -> int:
        """That are this hand-off's now: those of the pool that it keeps from others."""
        return len(self._targets)

    @property
    def wrong_blocks(self) -> int:
        """That came with a wrong checksum, each time that they did."""
        return self._reads.wrong_blocks

    @property
    def repaired_blocks(self) -> int:
        """Read again because their checksum was wrong."""
        return self._reads.repaired_blocks

    @property
    def deadline(self) -> float | None:
        """When DeadlinePassed matters. None in ABORTING: only the transport can end that."""
        return self._deadline

    def handle(self, event: ReceiverEvent, now: float) -> Instructions:
        """`now` is in seconds on any clock that never goes back."""
        match event:
            case ev.Started():
                instructions = self._started(now)
            case ev.BlocksAllocated(blocks):
                instructions = self._allocated(blocks, now)
            case ev.AllocationRefused():
                instructions = self._allocated((), now)
            case ev.ReadDone() | ev.ReadFailed():
                instructions = self._read_ended(event, now)
            case _:
                instructions = [] if self._ending else self._heard(event, now)
        self._story.add(event, self.state.value)
        return instructions

    @property
    def _ending(self) -> bool:
        return self.over or self.state is R.ABORTING

    def _heard(self, event: ReceiverEvent, now: float) -> Instructions:
        """What the other side, the caller or the clock says while the hand-off is under way."""
        match event:
            case ev.LeaseDescribed():
                return self._lease_described(event, now)
            case ev.SegmentReady():
                return self._segment_ready(event, now)
            case ev.LastReceived():
                return self._last_received(event, now)
            case ev.PullBroken(error):
                return self._pull_broken(error)
            case ev.ConfirmAnswered(ok):
                return self._confirm_answered(ok)
            case ev.ConfirmLost(reason):
                return self._confirm_lost(reason)
            case ev.AbortRequested(reason):
                return self._abort(TransferError(reason))
            case ev.DeadlinePassed():
                return self._deadline_passed(now)
            case _:
                raise self._story.illegal(f"{type(event).__name__} belongs nowhere")

    def _started(self, now: float) -> Instructions:
        if self._ending:
            return []
        self._move(R.OPENING, now + self._limits.opening_s)
        return [ev.OpenPull()]

    # What the sender says

    def _lease_described(self, event: ev.LeaseDescribed, now: float) -> Instructions:
        fault = self._lease_fault(event)
        if fault is not None:
            return self._abort(TransferError(fault))
        self._epoch, self.num_tokens = event.epoch, event.num_tokens
        self._coverage = Coverage(event.num_blocks)
        self._checksums = event.checksums
        self._move(R.RECEIVING, now + self._limits.receiving_s)
        return self._trim()

    def _trim(self) -> Instructions:
        """Only full blocks can be here already: what the lease has no full block for goes back."""
        self.num_held = min(self.num_held, self.num_tokens // self.block_size)
        surplus, self._targets = self._targets[self.num_held :], self._targets[: self.num_held]
        self._placed = self.num_held == self._coverage.num_blocks
        return [ev.ReleaseBlocks(surplus)] if surplus else []

    def _lease_fault(self, event: ev.LeaseDescribed) -> str | None:
        if self.state is not R.OPENING:
            return f"a lease was described while {self.state.value}"
        if event.epoch.instance_id != self._instance_id:
            return f"the lease is of {event.epoch.instance_id}, not of {self._instance_id}"
        if event.fingerprint_digest != self._digest:
            return "the fingerprints of the two workers differ"
        needed = -(-event.num_tokens // self.block_size)
        if event.num_tokens < 1 or event.num_blocks != needed:
            return f"{event.num_blocks} blocks for {event.num_tokens} tokens"
        return None

    def _segment_ready(self, event: ev.SegmentReady, now: float) -> Instructions:
        if self.state is not R.RECEIVING or self._last is not None:
            return self._abort(TransferError(f"a segment came while {self._where}"))
        if self._checksums and len(event.checksums) != len(event.block_ids):
            return self._abort(TransferError("the sender named blocks without their checksums"))
        fault = self._coverage.add(event.first_block, len(event.block_ids))
        if fault is not None:
            return self._abort(TransferError(f"the sender named {fault}"))
        self._deadline = now + self._limits.receiving_s
        if self._placed:
            return self._read_segment(event)
        self._unread.append(event)
        if self._allocating:
            return []
        self._allocating = True
        return [ev.AllocateBlocks(self._num_lacking)]

    @property
    def _num_lacking(self) -> int:
        return self._coverage.num_blocks - self.num_held

    def _last_received(self, event: ev.LastReceived, now: float) -> Instructions:
        if self.state is not R.RECEIVING or self._last is not None:
            return self._abort(TransferError(f"an end came while {self._where}"))
        if not self._coverage.complete:
            return self._abort(TransferError("the sender ended without naming every block"))
        self._last = event
        self._deadline = now + self._limits.receiving_s
        return self._confirm_if_complete(now)

    def _pull_broken(self, error: BatonError) -> Instructions:
        if self.state is R.CONFIRMING:
            return []  # the sender ends the stream with its verdict, which travels on its own
        if isinstance(error, UnavailableError):
            return self._abort(error)
        # The sender itself refused or ended it. An Abort now might hit the Pull that owns it.
        return self._abort(TransferError(str(error)), tell=False)

    def _confirm_answered(self, ok: bool) -> Instructions:
        if self.state is not R.CONFIRMING or self._last is None:
            raise self._story.illegal(f"a verdict came while {self._where}")
        if not ok:
            return self._abort(TransferError("the lease had ended before the last byte came"))
        targets, self._targets = self._targets, ()
        self._move(R.DONE, None)
        usable = ev.DeliverUsable(targets, self._last.records, self._last.continuation)
        return [ev.ClosePull(), usable]

    def _confirm_lost(self, reason: str) -> Instructions:
        if self.state is not R.CONFIRMING:
            raise self._story.illegal(f"a verdict was lost while {self._where}")
        if self._confirms >= self._limits.confirm_attempts:
            return self._abort(UnavailableError(f"no verdict on the bytes came: {reason}"))
        return [self._confirm()]

    # What happens here

    def _allocated(self, blocks: tuple[int, ...], now: float) -> Instructions:
        if not self._allocating:
            raise self._story.illegal("blocks that nobody asked for")
        if blocks and not len(blocks) == len({*blocks} - {*self._targets}) == self._num_lacking:
            raise self._story.illegal(f"blocks {blocks} for {self._num_lacking}")
        self._allocating, self._targets = False, self._targets + blocks
        if self.state is R.ABORTING:
            return self._settle()
        if not blocks:
            return self._abort(TransferError("there are no free KV blocks for the hand-off"))
        self._placed = True
        self._deadline = now + self._limits.receiving_s
        unread, self._unread = self._unread, []
        started = [read for segment in unread for read in self._read_segment(segment)]
        return started or self._confirm_if_complete(now)

    def _read_segment(self, segment: ev.SegmentReady) -> Instructions:
        """Of what is not here yet, by position: nothing where all of it is."""
        end = segment.first_block + len(segment.block_ids)
        first = max(segment.first_block, self.num_held)
        if first >= end:
            return []
        skipped = first - segment.first_block
        checksums = segment.checksums[skipped:] if self._checksums else ()
        sources, targets = segment.block_ids[skipped:], self._targets[first:end]
        read = ev.StartRead(0, sources, targets, segment.first_block, checksums)
        return [self._reads.start(read)]

    def _read_ended(self, event: ev.ReadDone | ev.ReadFailed, now: float) -> Instructions:
        read = self._reads.end(event.read_id)
        if read is None:
            raise self._story.illegal(f"read {event.read_id} ended but is not under way")
        if self.state is R.ABORTING:
            return self._settle()
        if isinstance(event, ev.ReadFailed):
            return self._abort(TransferError(f"a read failed: {event.reason}"))
        self._deadline = now + self._limits.receiving_s
        if event.wrong:
            return self._read_again(read, event.wrong)
        return self._confirm_if_complete(now)

    def _read_again(self, read: ev.StartRead, wrong: tuple[int, ...]) -> Instructions:
        again = self._reads.again(read, wrong)
        if again is None:
            fault = f"{len(wrong)} blocks had a wrong checksum {read.attempt} times"
            return self._abort(TransferError(fault))
        return [again]

    def _confirm_if_complete(self, now: float) -> Instructions:
        if self._last is None or self._reads or self._unread:
            return []
        self._move(R.CONFIRMING, now + self._limits.confirming_s)
        return [self._confirm()]

    def _confirm(self) -> ReceiverInstruction:
        if self._epoch is None:
            raise self._story.illegal("a confirmation without a lease")
        self._confirms += 1
        return ev.SendConfirm(self._epoch, again=self._confirms > 1)

    def _deadline_passed(self, now: float) -> Instructions:
        if self._deadline is None or now < self._deadline:
            return []
        return self._abort(UnavailableError(f"the hand-off made no progress while {self._where}"))

    # The end

    def _abort(self, error: BatonError, *, tell: bool = True) -> Instructions:
        """Gives the lease up at once; the target blocks stay here until nothing can land in them."""
        self._error = error
        self._move(R.ABORTING, None)
        self._unread = []
        out: Instructions = [ev.ClosePull()]
        if tell:
            out.append(ev.SendAbort(str(error)))
        if self._reads:
            out.append(ev.CancelReads())
        return out + self._settle()

    def _settle(self) -> Instructions:
        if self._reads or self._allocating:
            return []
        self._move(R.FAILED, None)
        targets, self._targets = self._targets, ()
        released: Instructions = [ev.ReleaseBlocks(targets)] if targets else []
        return [*released, ev.Fail(self._error or TransferError("the hand-off failed"))]

    @property
    def _where(self) -> str:
        """The state, for an error's sentence."""
        return self.state.value + (" its end" if self._last and self.state is R.RECEIVING else "")

    def _move(self, state: ReceiverState, deadline: float | None) -> None:
        if state not in MOVES[self.state]:
            raise self._story.illegal(f"cannot go from {self.state.value} to {state.value}")
        self.state, self._deadline = state, deadline
