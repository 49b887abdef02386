"""KvTransferService: what peers ask of this worker's sender. Translation only, no decisions."""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

from baton.core.errors import BatonError, RefusedError, TransferError, UnavailableError
from baton.rpc.wire import epoch_from_pb, epoch_to_pb, fingerprint_to_pb, records_to_pb
from baton.v1 import kv_transfer_pb2 as pb
from baton.v1 import kv_transfer_pb2_grpc as pb_grpc
from kv_transfer import sender_events as ev
from kv_transfer.sending import PullQueue, Sender
from kv_transfer.transports.base import Endpoint

logger = logging.getLogger(__name__)

OUTCOMES = {
    ev.Outcome.OK: pb.CONFIRM_OUTCOME_OK,
    ev.Outcome.STALE: pb.CONFIRM_OUTCOME_STALE,
}


class KvTransferServicer(pb_grpc.KvTransferServiceServicer):
    """Runs on the loop of its Sender."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def Describe(
        self, request: pb.KvTransferServiceDescribeRequest, context: Any
    ) -> pb.KvTransferServiceDescribeResponse:
        logger.info("Worker %s asks how to read this pool", request.instance_id)
        return pb.KvTransferServiceDescribeResponse(
            instance_id=self._sender.instance_id,
            fingerprint=fingerprint_to_pb(self._sender.fingerprint),
            num_blocks=self._sender.num_blocks,
            endpoints=[_endpoint_to_pb(endpoint) for endpoint in self._sender.endpoints],
        )

    async def Pull(self, request: pb.PullRequest, context: Any) -> AsyncIterator[pb.PullResponse]:
        queue = self._attached(request)
        try:
            while True:
                message = await queue.get()
                match message:
                    case ev.RefusePull(_, refusal):
                        raise error_of(refusal)
                    case ev.ClosePull(_, reason):
                        if reason is not None:
                            raise TransferError(reason)
                        return
                    case ev.SendSegment():
                        for segment in self._segments(message, request.checksums):
                            if request.checksums:
                                found = await self._sender.checksums.of(segment.block_ids)
                                segment.checksums.extend(found)
                            yield pb.PullResponse(segment=segment)
                    case _:
                        yield self._response(message)
        finally:
            self._sender.detach(queue)

    async def Confirm(self, request: pb.ConfirmRequest, context: Any) -> pb.ConfirmResponse:
        outcome = self._sender.confirm(request.transfer_id, epoch_from_pb(request.epoch))
        return pb.ConfirmResponse(outcome=OUTCOMES[outcome])

    async def Abort(self, request: pb.AbortRequest, context: Any) -> pb.AbortResponse:
        self._sender.abort(request.transfer_id, request.ticket, request.reason)
        return pb.AbortResponse()

    def _attached(self, request: pb.PullRequest) -> PullQueue:
        if request.prefix_names:
            return self._sender.attach_to_cached(
                request.transfer_id, request.ticket, request.prefix_names
            )
        return self._sender.attach(request.transfer_id, request.ticket)

    def _segments(self, message: ev.SendSegment, checksums: bool) -> Iterator[pb.PullSegment]:
        """In parts where there are checksums to compute: the first one is read meanwhile."""
        blocks = message.block_ids
        size = self._sender.checksums.blocks_at_once if checksums else len(blocks)
        for start in range(0, len(blocks), size):
            yield pb.PullSegment(
                first_block=message.first_block + start, block_ids=blocks[start : start + size]
            )

    def _response(self, message: ev.SendLease | ev.SendLast) -> pb.PullResponse:
        match message:
            case ev.SendLease(_, epoch, num_tokens, num_blocks, ttl_ms):
                lease = pb.PullLease(
                    epoch=epoch_to_pb(epoch),
                    fingerprint_digest=self._sender.fingerprint_digest,
                    num_tokens=num_tokens,
                    num_blocks=num_blocks,
                    ttl_ms=ttl_ms,
                )
                return pb.PullResponse(lease=lease)
            case ev.SendLast(_, records, continuation):
                last = pb.PullLast(records=records_to_pb(records), continuation=continuation)
                return pb.PullResponse(last=last)


def error_of(refusal: ev.Refusal) -> BatonError:
    match refusal:
        case ev.Refusal.NO_PREFILL:
            return UnavailableError(refusal.value)
        case ev.Refusal.TOO_MANY:
            return RefusedError(refusal.value)
        case _:
            return TransferError(refusal.value)


def _endpoint_to_pb(endpoint: Endpoint) -> pb.Endpoint:
    return pb.Endpoint(
        transport=endpoint.transport,
        address=endpoint.address,
        token=endpoint.token,
        canary_offset=endpoint.canary_offset,
        canary=endpoint.canary,
    )
