"""Reads prompts and lends their KV blocks to the one Pull that comes for them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from baton.engine.work import EngineEvent, Mode, Work
from baton.rpc import wire
from baton.v1 import prefill_pb2 as pb
from baton.v1 import prefill_pb2_grpc
from baton.worker.worker import Worker
from prefill_worker.relay import Relay


class PrefillServicer(prefill_pb2_grpc.PrefillServiceServicer):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Prefill(
        self, request: pb.PrefillRequest, context: Any
    ) -> AsyncGenerator[pb.PrefillResponse, None]:
        params = wire.sampling_from_pb(request.sampling)
        bridge = self._worker.bridge
        with self._worker.desk.take(request.request_id, request.attempt, params.n) as key:
            lease = self._worker.sender.open(
                request.transfer_id, request.ticket, drop=lambda: bridge.abort(key)
            )
            work = Work(
                key,
                tuple(request.prompt_token_ids),
                params,
                Mode.PREFILL,
                cache_salt=request.cache_salt,
                tenant=request.tenant,
                answered=tuple(request.answered_token_ids),
            )
            relay = Relay(lease, work.num_known)
            with self._worker.backlog.reading(key, work.num_known) as note:

                def take(event: EngineEvent) -> None:
                    note(event)
                    relay.take(event)

                try:
                    bridge.submit(work, take)
                    async with aclosing(relay.responses()) as responses:
                        async for response in responses:
                            yield response
                finally:
                    bridge.abort(key)
                    lease.stream_closed()
