"""Writes answers: from a KV cache that it pulls, or from the prompt itself."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from baton.core.errors import RefusedError, TransferError, UnavailableError
from baton.core.prompt_images import PromptImage, spans_of
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role
from baton.engine.work import Admitted, ChoiceLeft, EngineEvent, Mode, PromptScored, Work
from baton.rpc import wire
from baton.telemetry.call_trace import traced_call
from baton.v1 import decode_pb2 as pb
from baton.v1 import decode_pb2_grpc
from baton.worker.event_queue import TokenQueue, Told
from baton.worker.reading_trace import ReadingTrace
from baton.worker.room import Room, no_room
from baton.worker.seeing import see
from baton.worker.worker import Worker
from decode_worker.adoption import adopted
from decode_worker.hand_over import hand_over
from kv_transfer.pulling import Pulled

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane


class DecodeServicer(decode_pb2_grpc.DecodeServiceServicer):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        params = wire.sampling_from_pb(request.sampling)
        desk, name = self._worker.desk, request.request_id
        with (
            traced_call(
                self._worker.tracer, "decode_worker", name, request.attempt, context
            ) as lane,
            desk.take(Role.DECODE, name, request.attempt, params.n, request.priority) as key,
        ):
            images = wire.images_from_pb(request.images)
            work = Work(
                key,
                tuple(request.prompt_token_ids),
                params,
                Mode.DECODE if request.HasField("handoff") and not request.anew else Mode.GENERATE,
                cache_salt=request.cache_salt,
                tenant=request.tenant,
                answered=tuple(request.answered_token_ids),
                priority=request.priority,
                keep_seconds=request.keep_ms / 1000,
                asked_at=time.monotonic() - request.waited_ms / 1000,
                images=spans_of(images),
            )
            async with aclosing(self._answer(work, images, request, lane)) as responses:
                async for response in responses:
                    yield response
        finished = pb.GenerateFinished(room=wire.room_to_pb(self._worker.rooms.left()))
        yield pb.GenerateResponse(finished=finished)

    async def _answer(
        self,
        work: Work,
        images: Sequence[PromptImage],
        request: pb.GenerateRequest,
        lane: "Lane | None",
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        if lane is not None:
            lane.open("decode.reserve")
        self._refuse_while_short(work.priority)
        # Hashed now, while prefill has yet to begin; the engine would do it behind the hand-off.
        work = replace(work, names=self._worker.bridge.engine.prefix_names(work))
        async with self._room(work) as room:
            left = wire.room_to_pb(self._worker.rooms.left())
            yield pb.GenerateResponse(reserved=pb.GenerateReserved(room=left))
            if images and work.mode is Mode.GENERATE:
                if lane is not None:
                    lane.turn("image_encode")
                encoded = request.encoded if request.HasField("encoded") else None
                work, came = await see(self._worker, work, images, encoded)
                if came is not None:
                    yield pb.GenerateResponse(images_pulled=came)
            if lane is not None and request.handoff.transfer_id:
                lane.turn("transfer.wait")
            work, told, pulled = await self._with_blocks(work, request.handoff, room)
            if lane is not None and pulled is not None:
                _note_transfer(lane, pulled)
            async with aclosing(self._run(work, told, lane)) as batches:
                async for batch in batches:
                    if pulled is not None:  # not before the work was submitted
                        yield pb.GenerateResponse(transferred=_report(pulled))
                        pulled = None
                    yield _response(batch)

    async def HandOver(
        self, request: pb.HandOverRequest, context: Any
    ) -> AsyncGenerator[pb.HandOverResponse, None]:
        tracer, name = self._worker.tracer, request.request_id
        with traced_call(tracer, "hand_over", name, request.attempt, context) as lane:
            if lane is not None:
                lane.open("hand_over.stop")
            async with aclosing(hand_over(self._worker, request)) as responses:
                async for response in responses:
                    if lane is not None and response.HasField("lent"):
                        lane.turn("hand_over.lend")
                    yield response

    async def _with_blocks(
        self, work: Work, handoff: pb.Handoff, room: Room
    ) -> tuple[Work, tuple[TokenRecord, ...], Pulled | None]:
        """What the engine is to do, what was drawn already, and the hand-off, if there was one.

        The blocks that were pulled come with it, and are ours until the engine has taken them:
        submit before anything else is awaited.
        """
        if not handoff.transfer_id:
            room.close()  # the engine allocates as it goes
            return work, (), None
        try:
            pulled = await self._worker.pull(wire.handoff_from_pb(handoff), room, work.num_known)
        except UnavailableError as error:  # the other worker is, not this one
            raise TransferError(str(error)) from error
        if work.mode is Mode.GENERATE:
            if pulled.num_tokens != work.num_known:
                self._worker.release(pulled.blocks)
                raise TransferError(
                    f"the KV of {pulled.num_tokens} tokens came for {work.num_known}"
                )
            self._worker.publish(work, pulled.blocks)
            room.close()
            return work, (), pulled
        room.close()  # also what was set aside of it and not needed
        try:
            return *adopted(work, pulled), pulled
        except TransferError:
            self._worker.release(pulled.blocks)
            raise

    async def _run(
        self, work: Work, told: tuple[TokenRecord, ...], lane: "Lane | None"
    ) -> AsyncGenerator[Told, None]:
        """Submits before anything is yielded: from there on the engine holds the work's blocks."""
        queue = TokenQueue()
        unread = work.num_known if work.mode is Mode.GENERATE else 0
        reading: ReadingTrace | None = None
        if lane is not None and unread:
            reading = ReadingTrace(lane, after="decode.write")
        elif lane is not None:
            lane.turn("decode.write")
        with self._worker.backlog.reading(work.key, unread) as note:

            def take(event: EngineEvent) -> None:
                if unread:
                    note(event)
                if reading is not None:
                    reading.hear(event)
                queue.put(event)

            self._worker.submit(work, take)
            try:
                if told:
                    yield told
                async for batch in queue.batches():
                    yield batch
            finally:
                self._worker.bridge.abort(work.key)

    def _refuse_while_short(self, priority: int) -> None:
        """While a request that is here and no less urgent lacks blocks: a steady stream of new ones
        would take whatever comes free, and one that was preempted would never go on. (One that only
        more urgent ones pass is more urgent than all of them when its turn comes.)
        """
        lacks = self._worker.bridge.engine.load().lacks
        if lacks is not None and lacks <= priority:
            raise RefusedError("requests that are here already wait for KV blocks")

    @asynccontextmanager
    async def _room(self, work: Work) -> AsyncIterator[Room]:
        """Sets aside the blocks of what is known and one more per choice, or refuses at once; behind
        the step at hand, where answers of a worse priority can give way.

        For as long as the stream lives: prefill may queue, or be paused for more urgent prompts, and
        every wait of the hand-off has a bound of its own.
        """
        worker = self._worker
        wanted = worker.info.fingerprint.layout.blocks_for(work.num_known) + work.params.n
        held = await worker.rooms.hold(work.priority, work.names, wanted)
        if held is None:
            raise no_room(wanted)
        room = Room(worker.blocks, held, None, worker.board.touch)
        try:
            yield room
        finally:
            room.close()


def _response(told: Told) -> pb.GenerateResponse:
    match told:
        case Admitted(num_cached_tokens, kv_number):
            admitted = pb.GenerateAdmitted(num_cached_tokens=num_cached_tokens, kv_number=kv_number)
            return pb.GenerateResponse(admitted=admitted)
        case PromptScored(scores):
            return pb.GenerateResponse(prompt_logprobs=wire.prompt_logprobs_to_pb(scores))
        case ChoiceLeft(choice):
            left = pb.GenerateHandedOver(choice=choice)
            return pb.GenerateResponse(handed_over=left)
        case records:
            return pb.GenerateResponse(
                tokens=pb.GenerateTokens(records=wire.records_to_pb(records))
            )


def _note_transfer(lane: "Lane", pulled: Pulled) -> None:
    """Until the first segment was ready it waited for the prompt to be read."""
    timing, now = pulled.timing, time.monotonic()
    lane.shut(at=now - timing.total_ms / 1000)
    told: dict[str, str | int | float] = {
        "baton.transfer.transport": pulled.transport,
        "baton.transfer.bytes": pulled.bytes,
        "baton.transfer.tokens": pulled.num_tokens - pulled.held_tokens,
        "baton.transfer.held_tokens": pulled.held_tokens,
        "baton.transfer.segments": len(timing.segments),
        "baton.transfer.repaired_blocks": pulled.repaired_blocks,
        "baton.transfer.exposed_ms": timing.exposed_ms,
    }
    lane.phase("transfer", told, at=now)


def _report(pulled: Pulled) -> pb.TransferReport:
    return pb.TransferReport(
        bytes=pulled.bytes,
        tokens=pulled.num_tokens - pulled.held_tokens,
        cached_tokens=pulled.held_tokens,
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
