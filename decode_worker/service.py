"""Writes answers: from a KV cache that it pulls, or from the prompt itself."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from baton.core.errors import RefusedError, TransferError, UnavailableError
from baton.core.prompt_images import PromptImage, spans_of
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role
from baton.engine.work import EngineEvent, Mode, Work
from baton.rpc import wire
from baton.rpc.request_metadata import metadata_of
from baton.telemetry.call_trace import traced_call
from baton.v1 import decode_pb2 as pb
from baton.v1 import decode_pb2_grpc
from baton.worker.reading_trace import ReadingTrace
from baton.worker.room import Room, no_room
from baton.worker.seeing import see
from baton.worker.worker import Worker
from decode_worker.adoption import adopted
from decode_worker.conversing import converse
from decode_worker.hand_over import hand_over
from decode_worker.outlet import Outlet
from decode_worker.own_stream import OwnStream
from decode_worker.responses import tokens_response, transferred_response
from kv_transfer.pulling import Pulled

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane


class DecodeServicer(decode_pb2_grpc.DecodeServiceServicer):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        metadata = metadata_of(context)
        async with aclosing(self._generate(request, metadata, OwnStream())) as responses:
            async for response in responses:
                yield response

    async def Converse(
        self, request_iterator: Any, context: Any
    ) -> AsyncGenerator[pb.ConverseResponse, None]:
        leaves = self._worker.board.closed
        async with aclosing(converse(self._generate, request_iterator, leaves)) as messages:
            async for message in messages:
                yield message

    async def HandOver(
        self, request: pb.HandOverRequest, context: Any
    ) -> AsyncGenerator[pb.HandOverResponse, None]:
        tracer, name = self._worker.tracer, request.request_id
        metadata = metadata_of(context)
        with traced_call(tracer, "hand_over", name, request.attempt, metadata) as lane:
            if lane is not None:
                lane.open("hand_over.stop")
            async with aclosing(hand_over(self._worker, request)) as responses:
                async for response in responses:
                    if lane is not None and response.HasField("lent"):
                        lane.turn("hand_over.lend")
                    yield response

    async def _generate(
        self, request: pb.GenerateRequest, metadata: Mapping[str, Any], outlet: Outlet
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        """What the outlet is not told. `metadata`: what the call came with."""
        params = wire.sampling_from_pb(request.sampling)
        desk, name = self._worker.desk, request.request_id
        with (
            traced_call(
                self._worker.tracer, "decode_worker", name, request.attempt, metadata
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
            async with aclosing(self._answer(work, images, request, outlet, lane)) as responses:
                async for response in responses:
                    yield response
        finished = pb.GenerateFinished(room=wire.room_to_pb(self._worker.rooms.left()))
        yield pb.GenerateResponse(finished=finished)

    async def _answer(
        self,
        work: Work,
        images: Sequence[PromptImage],
        request: pb.GenerateRequest,
        outlet: Outlet,
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
            async with aclosing(self._run(work, told, pulled, outlet, lane)) as responses:
                async for response in responses:
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
        self,
        work: Work,
        told: tuple[TokenRecord, ...],
        pulled: Pulled | None,
        outlet: Outlet,
        lane: "Lane | None",
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Submits before anything is told: from there on the engine holds the work's blocks."""
        unread = work.num_known if work.mode is Mode.GENERATE else 0
        reading: ReadingTrace | None = None
        if lane is not None and unread:
            reading = ReadingTrace(lane, after="decode.write")
        elif lane is not None:
            lane.turn("decode.write")
        with self._worker.backlog.reading(work.key, unread) as note:

            def take(event: EngineEvent) -> None:
                note(event)
                if reading is not None:
                    reading.hear(event)
                outlet.put(event)

            self._worker.submit(work, take if unread else outlet.put)
            try:
                if pulled is not None:
                    outlet.say(transferred_response(pulled))
                if told:
                    outlet.say(tokens_response(told))
                async for response in outlet.own():
                    yield response
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
