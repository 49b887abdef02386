"""KvTransferService: what peers ask of this worker's sender. Translation only, no decisions."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from baton.core.errors import RequestError
from baton.rpc.request_metadata import adopt_request
from baton.rpc.wire import epoch_from_pb, fingerprint_to_pb
from baton.v1 import kv_transfer_pb2 as pb
from baton.v1 import kv_transfer_pb2_grpc as pb_grpc
from kv_transfer import sender_events as ev
from kv_transfer.pull_stream import OUTCOMES, PullStream
from kv_transfer.sending import PullQueue, Sender
from kv_transfer.transports.base import Endpoint

logger = logging.getLogger(__name__)


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

    async def Pull(
        self, requests: AsyncIterator[pb.PullRequest], context: Any
    ) -> AsyncGenerator[pb.PullResponse, None]:
        adopt_request(context)
        asked = aiter(requests)
        opening = await anext(asked, None)
        if opening is None:
            raise RequestError("a Pull begins with a request")
        queue = self._attached(opening)
        verdict = asyncio.create_task(self._judge(asked, opening.transfer_id, queue))
        try:
            stream = PullStream(self._sender, queue, opening.checksums)
            async with aclosing(stream.responses()) as responses:
                async for response in responses:
                    yield response
        finally:
            verdict.cancel()
            self._sender.detach(queue)

    async def _judge(
        self, asked: AsyncIterator[pb.PullRequest], transfer_id: str, queue: PullQueue
    ) -> None:
        """Answers the Pull's question, on the Pull."""
        try:
            async for request in asked:
                self._sender.confirm_on(queue, transfer_id, epoch_from_pb(request.confirm))
        except Exception:  # the top of a task: whoever asked must hear something
            logger.exception("Transfer %s: the verdict failed", transfer_id)
            queue.put(ev.ClosePull(queue.pull_id, "the verdict failed"))

    async def Confirm(self, request: pb.ConfirmRequest, context: Any) -> pb.ConfirmResponse:
        outcome = self._sender.confirm(request.transfer_id, epoch_from_pb(request.epoch))
        return pb.ConfirmResponse(outcome=OUTCOMES[outcome])

    async def Abort(self, request: pb.AbortRequest, context: Any) -> pb.AbortResponse:
        self._sender.abort(request.transfer_id, request.ticket, request.reason)
        return pb.AbortResponse()

    async def Renew(self, request: pb.RenewRequest, context: Any) -> pb.RenewResponse:
        left_s = self._sender.renew(request.transfer_id, request.ticket, request.hold_ms / 1000)
        return pb.RenewResponse(left_ms=round(left_s * 1000))

    def _attached(self, request: pb.PullRequest) -> PullQueue:
        if request.prefix_names:
            return self._sender.attach_to_cached(
                request.transfer_id, request.ticket, request.prefix_names
            )
        return self._sender.attach(request.transfer_id, request.ticket)


def _endpoint_to_pb(endpoint: Endpoint) -> pb.Endpoint:
    return pb.Endpoint(
        transport=endpoint.transport,
        address=endpoint.address,
        token=endpoint.token,
        canary_offset=endpoint.canary_offset,
        canary=endpoint.canary,
    )
