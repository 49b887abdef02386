"""The sending half of a worker: leases for its prefill role, streams for its peers.

A thin shell around SenderTable: it has the clock, the queues and the callbacks, and decides
nothing. Everything runs on one asyncio loop's thread.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from math import inf

from baton.core.errors import BatonError, RefusedError
from baton.core.fingerprint import Fingerprint
from baton.core.handoff import Epoch
from baton.core.token_record import TokenRecord
from baton.telemetry.request_context import about, current_request
from kv_transfer import sender_events as ev
from kv_transfer.checksums import Checksums
from kv_transfer.memory import Memory
from kv_transfer.sender import Instructions, SenderMachine
from kv_transfer.sender_table import Hold, SenderCounts, SenderTable
from kv_transfer.staging import Lending
from kv_transfer.transports.base import Endpoint, Exporter

logger = logging.getLogger(__name__)

Told = ev.SendLease | ev.SendSegment | ev.SendLast | ev.RefusePull | ev.ClosePull
Message = Told | ev.AnswerConfirm


class Lease:
    """One prefill's hand-off. Say what happens to the prefill, then wait for `ended`.

    After the end every method is still allowed, and blocks lent then go back at once.
    """

    def __init__(self, sender: "Sender", machine: SenderMachine, drop: Callable[[], None]) -> None:
        self._sender = sender
        self._machine = machine
        self._drop = drop
        self._over = asyncio.Event()
        self._confirmed = False
        self.request = current_request()  # that it is for

    def blocks_lent(self, blocks: tuple[int, ...], num_tokens: int) -> None:
        """The whole prompt's blocks; one reference each is the lease's from now on."""
        self._feed(ev.BlocksLent(blocks, num_tokens))

    def chunk_computed(self, num_tokens: int) -> None:
        """KV of the first `num_tokens` tokens is final."""
        self._feed(ev.ChunkComputed(num_tokens))

    def finished(self, records: tuple[TokenRecord, ...], continuation: bool) -> None:
        """All KV is final. `continuation` is False when the records end every choice."""
        self._feed(ev.PrefillFinished(records, continuation))

    def failed(self, error: BatonError) -> None:
        """The engine has given up and holds nothing of the request."""
        self._feed(ev.PrefillFailed(str(error)))

    def stream_closed(self) -> None:
        """The gateway's stream is gone."""
        self._feed(ev.PrefillStreamClosed())

    async def ended(self) -> bool:
        """Returns when the lease holds nothing any more: True when decode confirmed it."""
        await self._over.wait()
        return self._confirmed

    def abandon(self, reason: str) -> None:
        """The worker gives the hand-off up, whatever its state; the sender's to call."""
        self._feed(ev.Abandoned(reason))

    def drop(self) -> None:
        """Makes the engine drop the prefill; the sender's to call."""
        self._drop()

    def end(self, confirmed: bool) -> None:
        """The sender's to call."""
        self._confirmed = confirmed
        self._over.set()

    def _feed(self, event: ev.SenderEvent) -> None:
        self._sender.feed(self._machine, event)


class PullQueue:
    """What one Pull stream is to say, in order."""

    def __init__(self, pull_id: int) -> None:
        self.pull_id = pull_id
        self.machine: SenderMachine | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    def put(self, message: Message) -> None:
        self._messages.put_nowait(message)

    async def take(self) -> list[Message]:
        """All that there is; waits for the first one."""
        messages = [await self._messages.get()]
        while not self._messages.empty():
            messages.append(self._messages.get_nowait())
        return messages


Lend = Callable[[Sequence[bytes]], tuple[int, ...]]


def _lend_nothing(names: Sequence[bytes]) -> tuple[int, ...]:
    raise RefusedError("no cached blocks are lent here")


class Sender:
    """`release` gives one reference on each block back to the pool; it must not block.

    `lend` gives as many of the first of the named blocks as are cached, one reference on each, or
    raises RefusedError.
    """

    def __init__(
        self,
        instance_id: str,
        fingerprint: Fingerprint,
        num_blocks: int,
        memory: Memory,
        release: Callable[[tuple[int, ...]], None],
        exporters: Sequence[Exporter],
        limits: ev.SenderLimits | None = None,
        lend: Lend = _lend_nothing,
        lending: Lending | None = None,
    ) -> None:
        """`memory` is what peers read: the pool itself, or with `lending` the slots in its place."""
        self.instance_id = instance_id
        self.fingerprint = fingerprint
        self.fingerprint_digest = fingerprint.digest()
        self.num_blocks = num_blocks
        self.endpoints: tuple[Endpoint, ...] = ()
        self.checksums = Checksums(memory)
        self.lending = lending
        self._release = release
        self._lend = lend
        self._block_size = fingerprint.layout.block_size
        self._exporters = exporters
        self._table = SenderTable(instance_id, self._block_size, limits or ev.SenderLimits())
        self._leases: dict[str, Lease] = {}
        self._pulls: dict[int, PullQueue] = {}
        self._pull_ids = count(1)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Lends the memory: from now on peers can read it."""
        self.endpoints = tuple(exporter.start() for exporter in self._exporters)

    def give_up(self, reason: str = "the worker stops") -> None:
        """Ends every hand-off; their streams are still there to be told so."""
        for lease in list(self._leases.values()):
            lease.abandon(reason)
        self._do_all(self._table.tick(inf))  # refuses the Pulls that wait

    def fence(self, instance_id: str) -> None:
        """Under this name from now on, as if another process had begun: what was opened under the
        old one ends, and who comes for it is refused.
        """
        self.give_up("the worker has changed its role")
        self.instance_id = self._table.instance_id = instance_id

    def close(self) -> None:
        """Ends every hand-off, then takes the memory back."""
        self.give_up()
        if self._timer is not None:
            self._timer.cancel()
        for exporter in self._exporters:
            exporter.close()
        self.checksums.close()
        if self.lending is not None:
            self.lending.close()

    def counts(self) -> SenderCounts:
        """A reading, taken from any thread."""
        return self._table.counts()

    def open(
        self, transfer_id: str, ticket: bytes, drop: Callable[[], None], hold: Hold | None = None
    ) -> Lease:
        """`drop` is called when the engine must abort the prefill, at most once.

        Raises RefusedError when the transfer is open, over, or was aborted before it came, or when
        no more blocks may be held.
        """
        machine, instructions = self._table.open(transfer_id, ticket, self._now(), hold)
        lease = self._leases[transfer_id] = Lease(self, machine, drop)
        self._do(transfer_id, instructions)
        return lease

    def attach(self, transfer_id: str, ticket: bytes) -> PullQueue:
        """A Pull stream has come. Call `detach` when it is gone, however it ended."""
        queue = PullQueue(next(self._pull_ids))
        self._pulls[queue.pull_id] = queue
        queue.machine, instructions = self._table.pull(
            transfer_id, ticket, queue.pull_id, self._now()
        )
        self._do(transfer_id, instructions)
        return queue

    def attach_to_cached(
        self, transfer_id: str, ticket: bytes, names: Sequence[bytes]
    ) -> PullQueue:
        """A Pull of cached blocks has come: it opens the lease that it owns, on the first of the
        `names` that are cached. Call `detach` as after `attach`.
        """
        try:
            lease = self.open(transfer_id, ticket, drop=_nothing_to_drop)
        except RefusedError:
            return self.attach(transfer_id, ticket)  # to be refused by its ticket
        queue = self.attach(transfer_id, ticket)
        try:
            blocks = self._lend(names)
        except BatonError as error:
            lease.failed(error)
            return queue
        lease.blocks_lent(blocks, len(blocks) * self._block_size)
        lease.finished((), continuation=True)
        return queue

    def detach(self, queue: PullQueue) -> None:
        self._pulls.pop(queue.pull_id, None)
        if queue.machine is not None:
            self.feed(queue.machine, ev.PullClosed(queue.pull_id))

    def confirm(self, transfer_id: str, epoch: Epoch) -> ev.Outcome:
        instructions = self._table.confirm(transfer_id, epoch, self._now())
        self._do(transfer_id, instructions)
        return next(i.outcome for i in instructions if isinstance(i, ev.AnswerConfirm))

    def confirm_on(self, queue: PullQueue, transfer_id: str, epoch: Epoch) -> None:
        """The same, asked by the Pull itself: the answer is said there, before its end."""
        instructions = self._table.confirm(transfer_id, epoch, self._now())
        queue.put(next(i for i in instructions if isinstance(i, ev.AnswerConfirm)))
        self._do(transfer_id, instructions)

    def renew(self, transfer_id: str, ticket: bytes, hold_s: float) -> float:
        """Seconds for which the blocks are held now; 0: they are not."""
        instructions = self._table.renew(transfer_id, ticket, hold_s, self._now())
        self._do(transfer_id, instructions)
        return next(i.left_s for i in instructions if isinstance(i, ev.AnswerRenewal))

    def abort(self, transfer_id: str, ticket: bytes, reason: str) -> None:
        self._do(transfer_id, self._table.abort(transfer_id, ticket, reason, self._now()))

    def feed(self, machine: SenderMachine, event: ev.SenderEvent) -> None:
        self._do(machine.transfer_id, self._table.feed(machine, event, self._now()))

    def _do_all(self, steps: Iterable[tuple[SenderMachine, Instructions]]) -> None:
        for machine, instructions in steps:
            self._do(machine.transfer_id, instructions)

    def _do(self, transfer_id: str, instructions: Instructions) -> None:
        for instruction in instructions:
            match instruction:
                case ev.ReleaseBlocks(blocks):
                    self._release(blocks)
                case ev.AbortPrefill():
                    self._leases[transfer_id].drop()
                case ev.LeaseOver(confirmed, reason):
                    lease = self._leases.pop(transfer_id)
                    logger.info(
                        "Transfer %s is over: %s", transfer_id, reason, extra=about(lease.request)
                    )
                    lease.end(confirmed)
                    if self.lending is not None:
                        self.lending.end(transfer_id)
                case ev.TicketRefused(rpc, fault):
                    logger.warning("Transfer %s: %s: a ticket is %s", transfer_id, rpc, fault.value)
                case ev.AnswerConfirm() | ev.AnswerRenewal():
                    pass  # whoever asked has it
                case _:
                    self._say(instruction)
        self._arm()

    def _say(self, message: Told) -> None:
        queue = self._pulls.get(message.pull_id)
        if queue is not None:  # a stream that is gone hears nothing
            queue.put(message)

    def _arm(self) -> None:
        """One timer, and only while something has a deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._table.next_deadline
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._do_all(self._table.tick(self._now()))
        self._arm()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _nothing_to_drop() -> None:
    """Cached blocks are computed already."""
