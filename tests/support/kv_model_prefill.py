"""The model's sending half of one hand-off: an engine, and what the sender machine has it do."""

from collections import deque
from collections.abc import Iterable

from baton.core.errors import RefusedError, UnavailableError
from baton.core.token_record import TokenRecord
from kv_transfer import receiver_events as rev
from kv_transfer import sender_events as sev
from kv_transfer.sender import SenderMachine
from kv_transfer.sender_table import Hold
from tests.support.kv_model_books import (
    BLOCK_SIZE,
    DIGEST,
    Engine,
    Ground,
    Pool,
    PrefillLife,
    checksum,
)

HOLD_S = 8.0


class PrefillModel:
    """`stream` is the Pull stream: what is under way to the receiver."""

    def __init__(
        self, world: Ground, transfer_id: str, num_tokens: int, cached_there: bool = False
    ) -> None:
        """`cached_there`: full blocks are lent that the sender has cached, and the Pull itself opens
        the lease.
        """
        self.world = world
        self.transfer_id = transfer_id
        self.ticket = transfer_id.encode()
        self.num_blocks = -(-num_tokens // BLOCK_SIZE)
        self.num_tokens = self.num_blocks * BLOCK_SIZE if cached_there else num_tokens
        self.cached_there = cached_there
        self.outlives = not cached_there and num_tokens % 3 == 0  # its Prefill's stream
        self.engine = Engine(ended=cached_there)
        self.home: PrefillLife | None = None  # the process that the Prefill came to
        self.lease: SenderMachine | None = None
        self.prefill_refused = False
        self.leases_over = 0
        self.verdicts: list[sev.Outcome] = []
        self.stream: deque[rev.ReceiverEvent] = deque()
        self.stream_open = False  # as the receiver sees it
        self.pull_id: int | None = None  # as the sender sees it

    def tag(self, position: int) -> object:
        """What a block holds once it is computed."""
        return (self.transfer_id, position)

    # Prefill's engine and stream

    def open_prefill(self) -> None:
        home = self.world.prefill
        try:
            hold = Hold(HOLD_S, self.num_blocks) if self.outlives else None
            self.lease, out = home.table.open(self.transfer_id, self.ticket, self.world.now, hold)
        except RefusedError:
            self.prefill_refused = True
            return
        self.home = home
        self.do_sender(out)

    def lend_cached(self) -> None:
        """What lies in the cache has no reference but the lease's, and may be gone."""
        blocks = self.source.take(self.num_blocks, refs=1)
        if blocks is None:
            self.feed(sev.PrefillFailed("nothing of it is cached"))
            return
        for position, block in enumerate(blocks):
            self.source.content[block] = self.tag(position)
        self.feed(sev.BlocksLent(blocks, self.num_tokens))
        self.feed(sev.PrefillFinished((), True))

    def renew(self) -> None:
        """Another router asks for more time."""
        table, now = self.world.prefill.table, self.world.now
        if self.world.prefill.alive:
            self.do_sender(table.renew(self.transfer_id, self.ticket, HOLD_S, now))

    @property
    def lives(self) -> bool:
        """The process that has the Prefill is still there."""
        return self.home is not None and self.home.alive

    @property
    def source(self) -> Pool:
        assert self.home is not None
        return self.home.pool

    def lend(self) -> None:
        blocks = self.source.take(self.num_blocks, refs=2)  # the engine's and the lease's
        if blocks is not None:
            self.engine.blocks = blocks
            self.engine.events.append(sev.BlocksLent(blocks, self.num_tokens))

    def compute(self) -> None:
        engine = self.engine
        engine.computed = min(self.num_tokens, engine.computed + 5)
        for position, block in enumerate(engine.blocks):
            if engine.computed >= min(self.num_tokens, (position + 1) * BLOCK_SIZE):
                self.source.content[block] = self.tag(position)
        engine.events.append(sev.ChunkComputed(engine.computed))

    def finish(self) -> None:
        self._end_engine()
        searched = self.num_tokens % 2  # then nothing is drawn
        records = () if searched else (TokenRecord(0, self.num_tokens, 7),)
        self.engine.events.append(sev.PrefillFinished(records, True))

    def fail(self) -> None:
        self._end_engine()
        self.engine.events.append(sev.PrefillFailed("the engine broke"))

    def close_prefill(self) -> None:
        if self.lives and not self.cached_there:
            self.feed(sev.PrefillStreamClosed())

    def hear_engine(self) -> None:
        self.feed(self.engine.events.popleft())

    def _end_engine(self) -> None:
        if not self.engine.ended:
            self.engine.ended = True
            self.source.release(self.engine.blocks)

    def feed(self, event: sev.SenderEvent) -> None:
        assert self.lease is not None
        assert self.home is not None
        self.do_sender(self.home.table.feed(self.lease, event, self.world.now))

    # The sender's instructions

    def do_sender(self, instructions: Iterable[sev.SenderInstruction]) -> None:
        for instruction in instructions:
            self._do_sender(instruction)

    def _checksums(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        if not self.world.checksums:
            return ()
        return tuple(checksum(self.source.content[block]) for block in blocks)

    def _do_sender(self, instruction: sev.SenderInstruction) -> None:
        match instruction:
            case sev.SendLease(_, epoch, num_tokens, num_blocks, _):
                self._say(
                    rev.LeaseDescribed(epoch, DIGEST, num_tokens, num_blocks, self.world.checksums)
                )
            case sev.SendSegment(_, first, block_ids):
                for position, block in enumerate(block_ids, start=first):
                    assert self.source.refs[block] > 0
                    assert self.source.content[block] == self.tag(position)
                self._say(rev.SegmentReady(first, block_ids, self._checksums(block_ids)))
            case sev.SendLast(_, records, continuation):
                self._say(rev.LastReceived(records, continuation))
            case sev.RefusePull(pull_id, refusal):
                self._end_stream(pull_id, refusal.value)
            case sev.ClosePull(pull_id, reason):
                self._end_stream(pull_id, reason or "done")
            case sev.AbortPrefill():
                self.engine.dropped = True
                self._end_engine()
            case sev.ReleaseBlocks(blocks):
                self.source.release(blocks)
            case sev.AnswerConfirm(outcome):
                self.verdicts.append(outcome)
            case sev.LeaseOver():
                self.leases_over += 1
                assert self.leases_over == 1
                assert self.lease is None or not self.lease.blocks
            case sev.AnswerRenewal(left_s):
                assert left_s == 0 or (self.outlives and self.lease and not self.lease.over)
            case sev.TicketRefused():
                pass

    def _say(self, event: rev.ReceiverEvent) -> None:
        if self.stream_open and self.pull_id is not None:
            self.stream.append(event)

    def _end_stream(self, pull_id: int, reason: str) -> None:
        if pull_id == self.pull_id:
            self.pull_id = None
            if self.stream_open:
                self.stream.append(rev.PullBroken(UnavailableError(reason)))
