"""Reads prompts and lends their KV blocks to the one Pull that comes for them."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from baton.core.handoff import PrefixSource
from baton.core.prompt_images import spans_of
from baton.core.worker_info import Role
from baton.engine.work import EngineEvent, Mode, Work
from baton.rpc import wire
from baton.rpc.request_metadata import metadata_of
from baton.telemetry.call_trace import traced_call
from baton.v1 import prefill_pb2 as pb
from baton.v1 import prefill_pb2_grpc
from baton.worker.reading_trace import ReadingTrace
from baton.worker.seeing import see
from baton.worker.worker import Worker
from kv_transfer.pulling import Pulled
from kv_transfer.sender_table import Hold
from kv_transfer.sending import Lease
from prefill_worker.relay import Relay


class PrefillServicer(prefill_pb2_grpc.PrefillServiceServicer):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Prefill(
        self, request: pb.PrefillRequest, context: Any
    ) -> AsyncGenerator[pb.PrefillResponse, None]:
        params = wire.sampling_from_pb(request.sampling)
        bridge, name, attempt = self._worker.bridge, request.request_id, request.attempt
        with (
            traced_call(
                self._worker.tracer, "prefill_worker", name, attempt, metadata_of(context)
            ) as lane,
            self._worker.desk.take(Role.PREFILL, name, attempt, params.n) as key,
        ):
            lease = self._worker.sender.open(
                request.transfer_id,
                request.ticket,
                drop=lambda: bridge.abort(key),
                hold=self._hold(request),
            )
            images = wire.images_from_pb(request.images)
            work = Work(
                key,
                tuple(request.prompt_token_ids),
                params,
                Mode.PREFILL,
                cache_salt=request.cache_salt,
                tenant=request.tenant,
                answered=tuple(request.answered_token_ids),
                priority=request.priority,
                asked_at=time.monotonic() - request.waited_ms / 1000,
                images=spans_of(images),
            )
            relay = Relay(lease, work.num_known)
            try:
                if request.HasField("prefix"):
                    if lane is not None:
                        lane.open("prefix_pull")
                    source = wire.prefix_source_from_pb(request.prefix)
                    began = time.monotonic()
                    pulled = await self._pulled(work, source, lease)
                    if pulled is not None:
                        report = _prefix_pulled(pulled, time.monotonic() - began)
                        yield pb.PrefillResponse(prefix_pulled=report)
                with self._worker.backlog.reading(key, work.num_known) as note:
                    if images:
                        if lane is not None:
                            lane.turn("image_encode")
                        encoded = request.encoded if request.HasField("encoded") else None
                        work, came = await see(self._worker, work, images, encoded)
                        if came is not None:
                            yield pb.PrefillResponse(images_pulled=came)
                    reading = None if lane is None else ReadingTrace(lane, after="prefill.lend")

                    def take(event: EngineEvent) -> None:
                        note(event)
                        relay.take(event)
                        if reading is not None:
                            reading.hear(event)

                    bridge.submit(work, take)
                    async with aclosing(relay.responses()) as responses:
                        async for response in responses:
                            yield response
            finally:
                bridge.abort(key)
                lease.stream_closed()

    def _hold(self, request: pb.PrefillRequest) -> Hold | None:
        if not request.hold_ms:
            return None
        num_tokens = len(request.prompt_token_ids) + len(request.answered_token_ids)
        blocks = self._worker.info.fingerprint.layout.blocks_for(num_tokens)
        return Hold(request.hold_ms / 1000, blocks)

    async def _pulled(self, work: Work, source: PrefixSource, lease: Lease) -> Pulled | None:
        """Cached blocks of another worker; None: none came. Cut short when nobody wants the prompt
        any more.
        """
        pull = asyncio.ensure_future(self._worker.pull_prefix(work, source))
        over = asyncio.ensure_future(lease.ended())
        try:
            await asyncio.wait((pull, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            pull.cancel()  # does nothing once it is done
            await asyncio.wait((pull,))
        return None if pull.cancelled() else pull.result()


def _prefix_pulled(pulled: Pulled, seconds: float) -> pb.PrefixPulled:
    return pb.PrefixPulled(
        tokens=pulled.num_tokens - pulled.held_tokens,
        bytes=pulled.bytes,
        transport=pulled.transport,
        milliseconds=seconds * 1000,
    )
