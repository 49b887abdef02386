"""One pull under way: a receiver machine with its stream, its reads and its verdict.

A thin shell: it has the clock and does what the machine says. `run` ends only in a terminal
state, when no byte can land any more.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import grpc

from baton.core.errors import BatonError, InternalError, UnavailableError
from baton.core.handoff import Epoch, Handoff
from baton.core.token_record import TokenRecord
from baton.rpc.errors import from_rpc_error
from baton.rpc.wire import epoch_to_pb
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer import receiver_events as ev
from kv_transfer.checksums import AUTO, ON, wrong_blocks
from kv_transfer.memory import Memory, runs_of
from kv_transfer.peers import Landed, Peer, Peers
from kv_transfer.pull_call import PullCall
from kv_transfer.pull_events import verdict_of
from kv_transfer.receiver import ReceiverMachine
from kv_transfer.staging import Landing, wrong_behind
from kv_transfer.timeline import Timeline, Timing

logger = logging.getLogger(__name__)

Allocate = Callable[[int], tuple[int, ...] | None]
Release = Callable[[tuple[int, ...]], None]

CANCEL_S = 1.0  # without a batch, after which the link of a cancelled read is closed


@dataclass(frozen=True, slots=True)
class Pulled:
    """A hand-off that decode may use. One reference on each block is the caller's."""

    blocks: tuple[int, ...]
    records: tuple[TokenRecord, ...]
    continuation: bool
    num_tokens: int  # whose KV the blocks hold
    held_tokens: int  # of them, those that were here already
    bytes: int  # moved
    transport: str
    timing: Timing
    repaired_blocks: int  # read again because their checksum was wrong


class Pulling:
    """`instance_id` is this worker's, `memory` its pool, `checksums` one of `checksums.CHOICES`."""

    def __init__(
        self,
        instance_id: str,
        handoff: Handoff,
        machine: ReceiverMachine,
        peers: Peers,
        memory: Memory,
        checksums: str,
        allocate: Allocate,
        release: Release,
        tell_abort: Callable[[Handoff, str], None],
        prefix_names: tuple[bytes, ...] = (),
        landing: Landing | None = None,
    ) -> None:
        self._landing = landing
        self._instance_id = instance_id
        self._handoff = handoff
        self._machine = machine
        self._peers = peers
        self._memory = memory
        self._checksums = checksums
        self._allocate = allocate
        self._release = release
        self._tell_abort = tell_abort
        self._prefix_names = prefix_names
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[ev.ReceiverEvent] = asyncio.Queue()
        self._peer: Peer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._call: PullCall | None = None
        self._stream: asyncio.Task[None] | None = None
        self._cancelled = threading.Event()
        self._patience: asyncio.TimerHandle | None = None
        self._timeline = Timeline()
        self._pulled: Pulled | None = None
        self._error: BatonError | None = None

    async def run(self) -> Pulled:
        """Raises TransferError or UnavailableError; the target blocks are back in the pool then."""
        self._events.put_nowait(ev.Started())
        try:
            await self._until_over()
        finally:
            if not self._machine.over:  # a defect; reads may be under way all the same
                self.abort("an internal error")
                await self._until_over()
            self._stop_tasks()
        if self._pulled is None:
            raise self._error or InternalError("a pull ended without a result")
        return self._pulled

    @property
    def num_blocks(self) -> int:
        """Target blocks, as long as they are neither delivered nor back in the pool."""
        return self._machine.num_blocks

    @property
    def wrong_blocks(self) -> int:
        return self._machine.wrong_blocks

    @property
    def repaired_blocks(self) -> int:
        return self._machine.repaired_blocks

    def abort(self, reason: str) -> None:
        """`run` goes on until no byte can land, unless the verdict is there already."""
        self._events.put_nowait(ev.AbortRequested(reason))

    async def _until_over(self) -> None:
        while not self._machine.over:
            event = await self._next_event()
            for instruction in self._machine.handle(event, self._loop.time()):
                self._do(instruction)

    async def _next_event(self) -> ev.ReceiverEvent:
        if not self._events.empty():  # what has happened counts before any deadline
            return self._events.get_nowait()
        try:
            async with asyncio.timeout_at(self._machine.deadline):
                return await self._events.get()
        except TimeoutError:
            return ev.DeadlinePassed()

    async def stopped(self) -> None:
        """After `run`: waits for its stream and its question, which nobody needs any more."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stop_tasks(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        for task in self._tasks:
            task.cancel()

    def _do(self, instruction: ev.ReceiverInstruction) -> None:
        match instruction:
            case ev.OpenPull():
                self._stream = self._spawn(self._follow())
            case ev.ClosePull():
                if self._stream is not None:
                    self._stream.cancel()
            case ev.AllocateBlocks(num_blocks):
                self._allocate_blocks(num_blocks)
            case ev.StartRead():
                self._start_read(instruction)
            case ev.CancelReads():
                self._cancel_reads()
            case ev.SendConfirm(epoch, again):
                self._spawn(self._confirm(epoch, again))
            case ev.SendAbort(reason):
                self._tell_abort(self._handoff, reason)
            case ev.ReleaseBlocks(blocks):
                self._release(blocks)
            case ev.DeliverUsable():
                self._pulled = self._result(instruction)
            case ev.Fail(error):
                self._error = error

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        return task

    async def _follow(self) -> None:
        """Turns the stream into events, its end included."""
        error: BatonError = UnavailableError("the link to the sender was closed")
        try:
            peer = await self._peers.get(self._handoff.address, self._handoff.instance_id)
        except BatonError as refused:
            error = refused
        else:
            self._peer, self._call = peer, PullCall(peer, self._hear)
            wanted = self._wants_checksums(peer)
            await self._call.follow(self._handoff, self._instance_id, wanted, self._prefix_names)
        finally:  # cancelled, too
            if self._call is None:
                self._events.put_nowait(ev.PullBroken(error))

    def _wants_checksums(self, peer: Peer) -> bool:
        return peer.leaves_host if self._checksums == AUTO else self._checksums == ON

    def _hear(self, event: ev.ReceiverEvent) -> None:
        match event:
            case ev.SegmentReady(first_block, block_ids):
                self._timeline.named(first_block, len(block_ids), time.monotonic())
            case ev.LastReceived():
                self._timeline.computed(time.monotonic())
        self._events.put_nowait(event)

    def _allocate_blocks(self, num_blocks: int) -> None:
        blocks: tuple[int, ...] | None = None
        try:
            blocks = self._allocate(num_blocks)
        finally:  # the machine waits for the answer even when this failed
            self._events.put_nowait(
                ev.BlocksAllocated(blocks) if blocks else ev.AllocationRefused()
            )

    def _start_read(self, read: ev.StartRead) -> None:
        peer = self._linked_peer()
        if read.attempt > 1:
            self._warn(peer, read)
        runs = runs_of(read.source_blocks, read.target_blocks, self._memory.block_bytes)
        future = peer.read(runs, self._cancelled, partial(self._find_wrong, read))
        future.add_done_callback(lambda done: self._read_ended(read, peer, done))

    def _find_wrong(self, read: ev.StartRead) -> tuple[int, ...]:
        """In the reading thread."""
        if not read.checksums:
            return ()
        if self._landing is not None:
            return wrong_behind(self._landing, self._memory, read.target_blocks, read.checksums)
        return wrong_blocks(self._memory, read.target_blocks, read.checksums)

    def _read_ended(self, read: ev.StartRead, peer: Peer, done: asyncio.Future[Landed]) -> None:
        error = done.exception()
        if error is None:
            landed = done.result()
            self._timeline.read(read.segment, landed.start, landed.end)
            self._events.put_nowait(ev.ReadDone(read.read_id, landed.wrong))
            return
        if not isinstance(error, BatonError):
            logger.error("A read of KV blocks failed", exc_info=error)
        if not self._cancelled.is_set():
            self._peers.broken(peer)  # its link may be out of step
        self._events.put_nowait(ev.ReadFailed(read.read_id, str(error)))

    def _warn(self, peer: Peer, read: ev.StartRead) -> None:
        logger.warning(
            "Transfer %s: %d blocks from %s came over %s with a wrong checksum; reading them again",
            self._handoff.transfer_id,
            len(read.source_blocks),
            self._handoff.address,
            peer.transport,
        )

    def _cancel_reads(self) -> None:
        self._cancelled.set()
        self._be_patient(self._linked_peer())

    def _be_patient(self, peer: Peer) -> None:
        self._patience = self._loop.call_later(CANCEL_S, self._look_at, peer, peer.progress)

    def _look_at(self, peer: Peer, progress: int) -> None:
        """The read may only stand behind those of others, which closing the link would break."""
        if peer.progress == progress:
            self._peers.drop(peer)
        else:
            self._be_patient(peer)

    async def _confirm(self, epoch: Epoch, again: bool) -> None:
        """On the Pull; by a call of its own where that has broken."""
        if not again and self._call is not None:
            await self._call.ask(epoch)
            return
        request = pb.ConfirmRequest(transfer_id=self._handoff.transfer_id, epoch=epoch_to_pb(epoch))
        left = max(0.0, (self._machine.deadline or 0.0) - self._loop.time())
        event: ev.ReceiverEvent = ev.ConfirmLost("the link to the sender was closed")
        try:
            answer = await self._linked_peer().stub.Confirm(
                request, timeout=left, wait_for_ready=True
            )
            event = verdict_of(answer.outcome)
        except grpc.aio.AioRpcError as error:
            event = ev.ConfirmLost(str(from_rpc_error(error)))
        finally:  # cancelled, too
            self._events.put_nowait(event)

    def _linked_peer(self) -> Peer:
        if self._peer is None:
            raise InternalError("a hand-off goes on without its peer")
        return self._peer

    def _result(self, usable: ev.DeliverUsable) -> Pulled:
        return Pulled(
            blocks=usable.blocks,
            records=usable.records,
            continuation=usable.continuation,
            num_tokens=self._machine.num_tokens,
            held_tokens=self._machine.num_held * self._machine.block_size,
            bytes=(len(usable.blocks) - self._machine.num_held) * self._memory.block_bytes,
            transport=self._linked_peer().transport,
            timing=self._timeline.timing(time.monotonic()),
            repaired_blocks=self._machine.repaired_blocks,
        )
