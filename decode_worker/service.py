"""Writes answers: from a KV cache that it pulls, or from the prompt itself."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any

from baton.core.errors import RefusedError
from baton.core.token_record import TokenRecord
from baton.engine.block_pool import Reservation
from baton.engine.work import Admitted, Mode, PromptScored, Work
from baton.rpc import wire
from baton.v1 import decode_pb2 as pb
from baton.v1 import decode_pb2_grpc
from baton.worker.event_queue import TokenQueue
from baton.worker.worker import Worker
from kv_transfer.pulling import Pulled

RESERVATION_SECONDS = 30.0  # prefill may queue that long before its first segment


_Told = Admitted | PromptScored | tuple[TokenRecord, ...]


class DecodeServicer(decode_pb2_grpc.DecodeServiceServicer):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        prompt = tuple(request.prompt_token_ids)
        params = wire.sampling_from_pb(request.sampling)
        with (
            self._worker.desk.take(request.request_id, request.attempt, params.n) as key,
            self._room(len(prompt), params.n) as reservation,
        ):
            ttl_ms = round(RESERVATION_SECONDS * 1000)
            yield pb.GenerateResponse(reserved=pb.GenerateReserved(ttl_ms=ttl_ms))
            work = Work(
                key,
                prompt,
                params,
                Mode.GENERATE,
                cache_salt=request.cache_salt,
                tenant=request.tenant,
            )
            handoff = request.handoff if request.HasField("handoff") else None
            work, report = await self._with_blocks(work, handoff, reservation)
            async with aclosing(self._run(work)) as batches:
                async for batch in batches:
                    if report is not None:  # not before the work was submitted
                        yield pb.GenerateResponse(transferred=report)
                        report = None
                    yield _response(batch)
            yield pb.GenerateResponse(finished=pb.GenerateFinished())

    async def HandOver(
        self, request: pb.HandOverRequest, context: Any
    ) -> AsyncGenerator[pb.HandOverResponse, None]:
        raise RefusedError("this worker cannot hand a running answer over")
        yield  # a stream, all the same

    async def _with_blocks(
        self, work: Work, handoff: pb.Handoff | None, reservation: Reservation
    ) -> tuple[Work, pb.TransferReport | None]:
        """What the engine is to do, and what the hand-off took, if there was one.

        The blocks of a pulled prompt come with it, and are ours until the engine has taken them:
        submit before anything else is awaited.
        """
        if handoff is None:
            reservation.cancel()  # the engine allocates as it goes
            return work, None
        pulled = await self._worker.pull(wire.handoff_from_pb(handoff), reservation)
        work = replace(work, mode=Mode.DECODE, blocks=pulled.blocks, first=pulled.records)
        return work, _report(pulled)

    async def _run(self, work: Work) -> AsyncGenerator[_Told, None]:
        """Submits before anything is yielded: from there on the engine holds the work's blocks."""
        queue = TokenQueue()
        self._worker.submit(work, queue.put)
        try:
            if work.first:
                yield work.first
            async for batch in queue.batches():
                yield batch
        finally:
            self._worker.bridge.abort(work.key)

    @contextmanager
    def _room(self, num_tokens: int, choices: int) -> Iterator[Reservation]:
        """Sets aside the prompt's blocks and one more per choice, or refuses at once.

        Refuses also while a request that is here lacks blocks: a steady stream of new ones would
        take whatever comes free, and one that was preempted would never go on.
        """
        blocks = self._worker.blocks
        if self._worker.bridge.engine.load().short_of_blocks:
            raise RefusedError("requests that are here already wait for KV blocks")
        wanted = self._worker.info.fingerprint.layout.blocks_for(num_tokens) + choices
        reservation = blocks.reserve(min(wanted, blocks.total))
        if reservation is None:
            raise RefusedError(f"no room for {wanted} KV blocks now")
        self._worker.board.touch()
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(RESERVATION_SECONDS, self._expire, reservation)
        try:
            yield reservation
        finally:
            expiry.cancel()
            reservation.cancel()
            self._worker.board.touch()

    def _expire(self, reservation: Reservation) -> None:
        reservation.cancel()
        self._worker.board.touch()


def _response(told: _Told) -> pb.GenerateResponse:
    match told:
        case Admitted(num_cached_tokens):
            admitted = pb.GenerateAdmitted(num_cached_tokens=num_cached_tokens)
            return pb.GenerateResponse(admitted=admitted)
        case PromptScored(scores):
            return pb.GenerateResponse(prompt_logprobs=wire.prompt_logprobs_to_pb(scores))
        case records:
            return pb.GenerateResponse(
                tokens=pb.GenerateTokens(records=wire.records_to_pb(records))
            )


def _report(pulled: Pulled) -> pb.TransferReport:
    return pb.TransferReport(
        bytes=pulled.bytes,
        tokens=pulled.num_tokens,
        transport=pulled.transport,
        milliseconds=pulled.timing.total_ms,
        exposed_ms=pulled.timing.exposed_ms,
        computed_ms=pulled.timing.computed_ms,
        segments=[
            pb.SegmentTiming(
                first_block=segment.first_block,
                num_blocks=segment.num_blocks,
                ready_ms=segment.ready_ms,
                start_ms=segment.start_ms,
                end_ms=segment.end_ms,
            )
            for segment in pulled.timing.segments
        ],
        repaired_blocks=pulled.repaired_blocks,
    )
