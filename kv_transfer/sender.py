"""One hand-off as the prefill side sees it: who owns the lease, what may be read, when it ends.

Pure: events in, instructions out, time as a number. It knows no socket, clock, lock or await.
docs/hand-off.md says what each state means.
"""

import hmac

from baton.core.handoff import Epoch
from kv_transfer import sender_events as ev
from kv_transfer.moves import Story
from kv_transfer.sender_events import (
    Outcome,
    Refusal,
    SenderEvent,
    SenderInstruction,
    SenderLimits,
    TicketFault,
)
from kv_transfer.sender_states import MOVES, TERMINAL, SenderState
from kv_transfer.waiting_pulls import WaitingPulls

S = SenderState

_FAULTS = {S.CONFIRMED: TicketFault.USED, S.EXPIRED: TicketFault.EXPIRED}  # of the right ticket

Instructions = list[SenderInstruction]


class SenderMachine:
    """Call `handle` with every event; do what it returns, in order, before the next event."""

    def __init__(
        self, transfer_id: str, epoch: Epoch, block_size: int, limits: SenderLimits
    ) -> None:
        self.transfer_id = transfer_id
        self.epoch = epoch
        self.state = S.NEW
        self.blocks: tuple[int, ...] = ()  # lent and not yet given back
        self._block_size = block_size
        self._limits = limits
        self._ticket = b""
        self._waiting = WaitingPulls(limits)
        self._pull_id: int | None = None
        self._num_tokens = 0
        self._computed = 0  # tokens
        self._sent = 0  # blocks
        self._finished: ev.PrefillFinished | None = None
        self._expires: float | None = None
        self._hold_s = 0.0  # after which the lease ends that nobody's stream owns; 0: a stream does
        self._story = Story()

    @property
    def over(self) -> bool:
        return self.state in TERMINAL

    @property
    def is_held(self) -> bool:
        """It may outlive its Prefill's stream, and is not over."""
        return self._hold_s > 0 and not self.over

    @property
    def waiting_pulls(self) -> int:
        return len(self._waiting)

    @property
    def deadline(self) -> float | None:
        """When the next ev.Tick matters."""
        if self.state is S.AWAITED:
            return self._waiting.deadline
        return self._expires

    def handle(self, event: SenderEvent, now: float) -> Instructions:
        """`now` is in seconds on any clock that never goes back."""
        instructions = self._late(event) if self.over else self._live(event, now)
        self._story.add(event, self.state.value)
        return instructions

    def _live(self, event: SenderEvent, now: float) -> Instructions:
        match event:
            case ev.PrefillOpened():
                return self._prefill_opened(event, now)
            case ev.BlocksLent():
                return self._blocks_lent(event, now)
            case ev.ChunkComputed(num_tokens):
                return self._chunk_computed(num_tokens)
            case ev.PrefillFinished():
                return self._prefill_finished(event, now)
            case ev.PrefillFailed(reason):
                return self._prefill_failed(reason)
            case ev.PrefillStreamClosed():
                return self._prefill_stream_closed()
            case ev.HoldRenewed():
                return self._hold_renewed(event, now)
            case ev.PullOpened():
                return self._pull_opened(event, now)
            case ev.PullClosed(pull_id):
                return self._pull_closed(pull_id)
            case ev.ConfirmAsked(epoch):
                return self._confirm_asked(epoch)
            case ev.AbortAsked():
                return self._abort_asked(event)
            case ev.Abandoned(reason):
                self._require(S.COMPUTING, S.PULLED, S.READY, S.SENT)
                return self._end(S.ABORTED, reason)
            case ev.Tick():
                return self._tick(now)

    def _late(self, event: SenderEvent) -> Instructions:
        """An ended machine is its own tombstone: it repeats its answers and keeps nothing."""
        match event:
            case ev.BlocksLent(blocks):
                return [ev.ReleaseBlocks(blocks)]
            case ev.PullOpened(pull_id, ticket):
                return [*self._late_ticket(ticket), ev.RefusePull(pull_id, Refusal.ENDED)]
            case ev.ConfirmAsked(epoch):
                held = self.state is S.CONFIRMED and epoch == self.epoch
                return [ev.AnswerConfirm(Outcome.OK if held else Outcome.STALE)]
            case ev.HoldRenewed():
                return [ev.AnswerRenewal(0.0)]
            case ev.PrefillOpened():
                raise self._story.illegal(f"{self.transfer_id} is over and cannot open again")
            case _:
                return []

    def _late_ticket(self, ticket: bytes) -> Instructions:
        """A hand-off that was given up refuses its ticket too, but there the two may have crossed."""
        fault = _FAULTS.get(self.state)
        if not hmac.compare_digest(ticket, self._ticket):
            fault = TicketFault.FORGED
        return [] if fault is None else [ev.TicketRefused("Pull", fault)]

    # Prefill

    def _prefill_opened(self, event: ev.PrefillOpened, now: float) -> Instructions:
        self._move(S.COMPUTING)
        self._ticket = event.ticket
        self._hold_s = min(event.hold_s, self._limits.longest_hold_s)
        out: Instructions = []
        for pull_id, shown in self._waiting.take():
            out += self._attach_or_refuse(pull_id, shown, now)
        return out

    def _blocks_lent(self, event: ev.BlocksLent, now: float) -> Instructions:
        self._require(S.COMPUTING, S.PULLED)
        needed = -(-event.num_tokens // self._block_size)
        if self.blocks or not event.blocks or len(event.blocks) != needed:
            raise self._story.illegal(
                f"{len(event.blocks)} blocks lent for {event.num_tokens} tokens, "
                f"{len(self.blocks)} held"
            )
        self.blocks, self._num_tokens = event.blocks, event.num_tokens
        return self._lease(now)

    def _chunk_computed(self, num_tokens: int) -> Instructions:
        self._require(S.COMPUTING, S.PULLED)
        if not self._computed <= num_tokens <= self._num_tokens:
            raise self._story.illegal(
                f"{num_tokens} of {self._num_tokens} tokens computed after {self._computed}"
            )
        self._computed = num_tokens
        return self._segment(num_tokens // self._block_size)

    def _prefill_finished(self, event: ev.PrefillFinished, now: float) -> Instructions:
        self._require(S.COMPUTING, S.PULLED)
        if not self.blocks:
            raise self._story.illegal("prefill finished without blocks")
        self._finished = event
        self._computed = self._num_tokens
        self._expires = now + (self._hold_s or self._limits.ttl_s)
        if self.state is S.COMPUTING:
            self._move(S.READY)
            return []
        return self._rest()

    def _prefill_failed(self, reason: str) -> Instructions:
        self._require(S.COMPUTING, S.PULLED, S.READY, S.SENT)
        return self._end(S.ABORTED, reason, drop=False)

    def _prefill_stream_closed(self) -> Instructions:
        self._require(S.COMPUTING, S.PULLED, S.READY, S.SENT)
        if self.state is S.SENT or (self.state is S.READY and self._hold_s):
            return []
        return self._end(S.ABORTED, "the Prefill stream was closed")

    def _hold_renewed(self, event: ev.HoldRenewed, now: float) -> Instructions:
        """Never shortens, and changes nothing where a stream owns the lease."""
        if not self._hold_s or not hmac.compare_digest(event.ticket, self._ticket):
            return [ev.AnswerRenewal(0.0)]
        if self._expires is None:
            return [ev.AnswerRenewal(self._hold_s)]
        if self.state is S.READY:
            hold_s = min(event.hold_s, self._limits.longest_hold_s)
            self._expires = max(self._expires, now + hold_s)
        return [ev.AnswerRenewal(max(0.0, self._expires - now))]

    # Pull

    def _pull_opened(self, event: ev.PullOpened, now: float) -> Instructions:
        if self.state not in (S.NEW, S.AWAITED):
            return self._attach_or_refuse(event.pull_id, event.ticket, now)
        if not self._waiting.add(event.pull_id, event.ticket, now):
            return [ev.RefusePull(event.pull_id, Refusal.TOO_MANY)]
        if self.state is S.NEW:
            self._move(S.AWAITED)
        return []

    def _attach_or_refuse(self, pull_id: int, ticket: bytes, now: float) -> Instructions:
        if not hmac.compare_digest(ticket, self._ticket):
            refused = ev.TicketRefused("Pull", TicketFault.FORGED)
            return [refused, ev.RefusePull(pull_id, Refusal.WRONG_TICKET)]
        if self._pull_id is not None:
            refused = ev.TicketRefused("Pull", TicketFault.USED)
            return [refused, ev.RefusePull(pull_id, Refusal.TAKEN)]
        self._pull_id = pull_id
        if self.state is S.READY:
            if self._hold_s:  # from here on it is a lease like any other
                self._expires = now + self._limits.ttl_s
            return self._lease(now) + self._rest()
        self._move(S.PULLED)
        return self._lease(now) + self._segment(self._computed // self._block_size)

    def _pull_closed(self, pull_id: int) -> Instructions:
        if self.state is S.AWAITED:
            self._turn_away([pull_id])
            return []
        if pull_id != self._pull_id:
            return []
        self._pull_id = None
        return self._end(S.ABORTED, "the Pull was closed before it was confirmed")

    def _turn_away(self, pull_ids: list[int]) -> None:
        for pull_id in pull_ids:
            self._waiting.remove(pull_id)
        if not self._waiting:
            self._move(S.NEW)

    def _confirm_asked(self, epoch: Epoch) -> Instructions:
        if epoch != self.epoch or self.state not in (S.PULLED, S.SENT):
            return [ev.AnswerConfirm(Outcome.STALE)]
        if self.state is S.SENT:
            return [ev.AnswerConfirm(Outcome.OK), *self._end(S.CONFIRMED, "confirmed")]
        # The answer must stay the same when the question is repeated, so the lease ends with it.
        ended = self._end(S.ABORTED, "the Pull was confirmed before everything was sent")
        return [ev.AnswerConfirm(Outcome.STALE), *ended]

    def _abort_asked(self, event: ev.AbortAsked) -> Instructions:
        if self.state is S.NEW:
            return []
        if self.state is S.AWAITED:
            aborted = self._waiting.with_ticket(event.ticket)
            self._turn_away(aborted)
            return [ev.RefusePull(pull_id, Refusal.ABORTED) for pull_id in aborted]
        if not hmac.compare_digest(event.ticket, self._ticket):
            return [ev.TicketRefused("Abort", TicketFault.FORGED)]
        return self._end(S.ABORTED, event.reason)

    def _tick(self, now: float) -> Instructions:
        if self.state is S.AWAITED:
            due = self._waiting.due(now)
            self._turn_away(due)
            return [ev.RefusePull(pull_id, Refusal.NO_PREFILL) for pull_id in due]
        if self._expires is not None and self._expires <= now:
            return self._end(S.EXPIRED, "the lease expired")
        return []

    # What is sent

    def _lease(self, now: float) -> Instructions:
        if self._pull_id is None or not self.blocks:
            return []
        left = self._limits.ttl_s if self._expires is None else max(0.0, self._expires - now)
        return [
            ev.SendLease(
                self._pull_id, self.epoch, self._num_tokens, len(self.blocks), round(left * 1000)
            )
        ]

    def _segment(self, ready: int) -> Instructions:
        """Names the blocks up to `ready` that were not named before."""
        if self._pull_id is None or ready <= self._sent:
            return []
        first, self._sent = self._sent, ready
        return [ev.SendSegment(self._pull_id, first, self.blocks[first:ready])]

    def _rest(self) -> Instructions:
        """The segments not named yet, and the end."""
        self._move(S.SENT)
        if self._pull_id is None or self._finished is None:
            raise self._story.illegal("nothing is finished, or nobody pulls")
        last = ev.SendLast(self._pull_id, self._finished.records, self._finished.continuation)
        return [*self._segment(len(self.blocks)), last]

    def _end(self, state: SenderState, reason: str, *, drop: bool = True) -> Instructions:
        """Moves first, so that whatever is asked from now on finds the lease ended."""
        computing = self.state in (S.COMPUTING, S.PULLED)
        self._move(state)
        self._expires = None
        confirmed = state is S.CONFIRMED
        out: Instructions = []
        if self._pull_id is not None:
            out.append(ev.ClosePull(self._pull_id, None if confirmed else reason))
        if computing and drop:
            out.append(ev.AbortPrefill(reason))
        if self.blocks:
            out.append(ev.ReleaseBlocks(self.blocks))
        self._pull_id, self.blocks, self._finished = None, (), None
        return [*out, ev.LeaseOver(confirmed, reason)]

    def _require(self, *states: SenderState) -> None:
        if self.state not in states:
            raise self._story.illegal(f"{self.transfer_id} is {self.state.value}")

    def _move(self, state: SenderState) -> None:
        if state not in MOVES[self.state]:
            raise self._story.illegal(
                f"{self.transfer_id} cannot go from {self.state.value} to {state.value}"
            )
        self.state = state
