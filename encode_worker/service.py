"""Encodes the images of a request and lends them to the one Pull that comes for them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing
from typing import Any

from baton.core.embeddings import BLOCK_TOKENS, distinct
from baton.core.errors import BatonError, RequestError, TransferError
from baton.core.worker_info import Role
from baton.rpc import wire
from baton.rpc.request_metadata import metadata_of
from baton.telemetry.call_trace import traced_call
from baton.v1 import encode_pb2 as pb
from baton.v1 import encode_pb2_grpc
from encode_worker.encoding import Filling
from encode_worker.shelf import Place
from encode_worker.worker import EncodeWorker
from kv_transfer.sending import Lease


class EncodeServicer(encode_pb2_grpc.EncodeServiceServicer):
    def __init__(self, worker: EncodeWorker) -> None:
        self._worker = worker

    async def Encode(
        self, request: pb.EncodeRequest, context: Any
    ) -> AsyncGenerator[pb.EncodeResponse, None]:
        worker, name, attempt = self._worker, request.request_id, request.attempt
        images = distinct(wire.images_from_pb(request.images))
        if not images:
            raise RequestError("there is no image to encode", "images")
        with (
            traced_call(
                worker.tracer, "encode_worker", name, attempt, metadata_of(context)
            ) as lane,
            worker.desk.take(Role.ENCODE, name, attempt, 1),
        ):
            lease = worker.sender.open(request.transfer_id, request.ticket, drop=_nothing)
            try:
                places = worker.shelf.places(images, request.cache_salt, request.tenant)
                with closing(worker.encoding.begin(places)) as filling:
                    blocks = tuple(block for place in places for block in place.blocks)
                    lease.blocks_lent(blocks, len(blocks) * BLOCK_TOKENS)
                    worker.board.touch()
                    yield pb.EncodeResponse(lent=pb.EncodeLent(num_blocks=len(blocks)))
                    if lane is not None:
                        lane.open("image_encode")
                    finished = await self._until_over(lease, places, filling)
                yield pb.EncodeResponse(encoded=finished)
                if lane is not None:
                    lane.turn("encode.lend")
                confirmed = await lease.ended()
                yield pb.EncodeResponse(released=pb.EncodeReleased(confirmed=confirmed))
            except BatonError as error:
                lease.failed(error)  # whoever pulls is told why
                raise
            finally:
                lease.stream_closed()

    async def _until_over(
        self, lease: Lease, places: Sequence[Place], filling: Filling
    ) -> pb.EncodeFinished:
        """Raises TransferError when the lease ends first: nobody wants the rest."""
        encode = asyncio.ensure_future(_encode(lease, places, filling))
        over = asyncio.ensure_future(lease.ended())
        try:
            await asyncio.wait((encode, over), return_when=asyncio.FIRST_COMPLETED)
            if not encode.done():
                raise TransferError("the hand-off was given up before the images were encoded")
            return encode.result()
        finally:
            over.cancel()
            encode.cancel()  # does nothing once it is done
            await asyncio.gather(encode, return_exceptions=True)


async def _encode(lease: Lease, places: Sequence[Place], filling: Filling) -> pb.EncodeFinished:
    tokens, kept, seconds = 0, 0, 0.0
    async with aclosing(filling.each()) as done:
        for place in places:
            spent = await anext(done)
            kept += spent is None
            seconds += spent or 0.0
            tokens += len(place.blocks) * BLOCK_TOKENS
            lease.chunk_computed(tokens)
    lease.finished((), continuation=True)
    return pb.EncodeFinished(images=len(places), cached_images=kept, milliseconds=seconds * 1000)


def _nothing() -> None:
    """The stream sees that the lease is over, and leaves off."""
