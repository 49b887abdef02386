"""What the sender says on one Pull, as messages: what has come together goes out together."""

from collections.abc import AsyncGenerator, Iterator

from baton.core.errors import BatonError, RefusedError, TransferError, UnavailableError
from baton.rpc.wire import epoch_to_pb, records_to_pb
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer import sender_events as ev
from kv_transfer.sending import PullQueue, Sender

OUTCOMES = {
    ev.Outcome.OK: pb.CONFIRM_OUTCOME_OK,
    ev.Outcome.STALE: pb.CONFIRM_OUTCOME_STALE,
}


class PullStream:
    def __init__(self, sender: Sender, queue: PullQueue, checksums: bool) -> None:
        """`checksums`: segments are to come with them."""
        self._sender = sender
        self._queue = queue
        self._checksums = checksums
        self._next = pb.PullResponse()

    async def responses(self) -> AsyncGenerator[pb.PullResponse, None]:
        """Until the Pull is closed. Raises the reason, unless it was confirmed."""
        while True:
            for message in await self._queue.take():
                match message:
                    case ev.RefusePull(_, refusal):
                        raise error_of(refusal)
                    case ev.ClosePull(_, reason):
                        if self._next.ByteSize():
                            yield self._taken()
                        if reason is not None:
                            raise TransferError(reason)
                        return
                    case ev.SendSegment():
                        for part in self._parts(message):
                            if not await self._staged(part):
                                continue  # the lease is over, and the next message says so
                            if self._next.HasField("segment"):
                                yield self._taken()
                            self._next.segment.CopyFrom(part)
                            if self._checksums:
                                found = await self._sender.checksums.of(part.block_ids)
                                self._next.segment.checksums.extend(found)
                    case ev.SendLease():
                        if await self._has_room(message.num_blocks):
                            self._next.lease.CopyFrom(self._lease(message))
                    case ev.SendLast(_, records, continuation):
                        last = pb.PullLast(
                            records=records_to_pb(records), continuation=continuation
                        )
                        self._next.last.CopyFrom(last)
                    case ev.AnswerConfirm(outcome):
                        self._next.verdict = OUTCOMES[outcome]
            yield self._taken()

    async def _has_room(self, num_blocks: int) -> bool:
        """False: the lease ended before there was room for it beside the pool."""
        lending, machine = self._sender.lending, self._queue.machine
        return (
            lending is None
            or machine is None
            or await lending.reserve(machine.transfer_id, num_blocks)
        )

    async def _staged(self, part: pb.PullSegment) -> bool:
        """Where peers cannot read the pool: copies the blocks to where they can, and names that."""
        lending, machine = self._sender.lending, self._queue.machine
        if lending is None or machine is None:
            return True
        slots = await lending.copied(machine.transfer_id, part.block_ids)
        if slots is not None:
            part.block_ids[:] = slots
        return slots is not None

    def _taken(self) -> pb.PullResponse:
        taken, self._next = self._next, pb.PullResponse()
        return taken

    def _parts(self, message: ev.SendSegment) -> Iterator[pb.PullSegment]:
        """Several where there are checksums to compute: the first one is read meanwhile."""
        blocks = message.block_ids
        size = self._sender.checksums.blocks_at_once if self._checksums else len(blocks)
        for start in range(0, len(blocks), size):
            yield pb.PullSegment(
                first_block=message.first_block + start, block_ids=blocks[start : start + size]
            )

    def _lease(self, message: ev.SendLease) -> pb.PullLease:
        return pb.PullLease(
            epoch=epoch_to_pb(message.epoch),
            fingerprint_digest=self._sender.fingerprint_digest,
            num_tokens=message.num_tokens,
            num_blocks=message.num_blocks,
            ttl_ms=message.ttl_ms,
        )


def error_of(refusal: ev.Refusal) -> BatonError:
    match refusal:
        case ev.Refusal.NO_PREFILL:
            return UnavailableError(refusal.value)
        case ev.Refusal.TOO_MANY:
            return RefusedError(refusal.value)
        case _:
            return TransferError(refusal.value)
