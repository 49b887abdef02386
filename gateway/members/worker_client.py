"""What this gateway asks of workers. Nobody but this, `calls` and `conversation` knows the messages."""

from collections.abc import AsyncGenerator

import grpc

from baton.core.embeddings import distinct
from baton.core.handoff import Handoff, PrefixSource
from baton.core.kv_events import KvChange
from baton.core.worker_info import WorkerLoad
from baton.rpc import wire
from baton.rpc.channel import open_channel
from baton.rpc.errors import from_rpc_error
from baton.rpc.tls_identity import TlsIdentity
from baton.v1 import (
    decode_pb2,
    decode_pb2_grpc,
    encode_pb2,
    encode_pb2_grpc,
    kv_transfer_pb2,
    kv_transfer_pb2_grpc,
    prefill_pb2,
    prefill_pb2_grpc,
    worker_pb2,
    worker_pb2_grpc,
)
from gateway.job import Job
from gateway.members.calls import (
    AskedCall,
    Call,
    HandOverCall,
    StreamCall,
    encode_event,
    generate_event,
    hand_over_event,
    prefill_event,
)
from gateway.members.conversation import Conversation

SHORT_CALL_SECONDS = 2.0
LIGHT_TOKENS = 16_384  # of a prompt: some 50 KiB, less than what HTTP/2 lets a stream send at once

Metadata = tuple[tuple[str, str], ...]


class WorkerClient:
    """A channel to one worker and what can be asked over it."""

    def __init__(self, address: str, secret: str, tls: TlsIdentity | None = None) -> None:
        self._channel = open_channel(address, secret, tls)
        self._decode: decode_pb2_grpc.DecodeServiceAsyncStub = decode_pb2_grpc.DecodeServiceStub(
            self._channel
        )
        self._conversation = Conversation(self._decode)
        self._prefill: prefill_pb2_grpc.PrefillServiceAsyncStub = (
            prefill_pb2_grpc.PrefillServiceStub(self._channel)
        )
        self._encode: encode_pb2_grpc.EncodeServiceAsyncStub = encode_pb2_grpc.EncodeServiceStub(
            self._channel
        )
        self._kv: kv_transfer_pb2_grpc.KvTransferServiceAsyncStub = (
            kv_transfer_pb2_grpc.KvTransferServiceStub(self._channel)
        )
        self._worker: worker_pb2_grpc.WorkerServiceAsyncStub = worker_pb2_grpc.WorkerServiceStub(
            self._channel
        )

    def converse(self) -> None:
        """Answers are asked for on one stream, from when it is open until it breaks."""
        self._conversation.open()

    def generate(
        self,
        job: Job,
        attempt: int,
        handoff: Handoff | None,
        brought: Handoff | None = None,
        metadata: Metadata = (),
        encoded: Handoff | None = None,
    ) -> Call:
        """`encoded`: a hand-off of the images, which another worker has the files of, here as below.
        `brought`: a hand-off of the prompt's KV alone; the first token is drawn there. `metadata`
        says which trace the call is part of, here as below.
        """
        source = handoff or brought
        request = decode_pb2.GenerateRequest(
            request_id=job.request_id,
            attempt=attempt,
            prompt_token_ids=job.prompt,
            sampling=wire.sampling_to_pb(job.params),
            handoff=wire.handoff_to_pb(source) if source is not None else None,
            anew=handoff is None and brought is not None,
            cache_salt=job.cache_salt,
            tenant=job.tenant,
            answered_token_ids=job.answered,
            priority=job.priority,
            waited_ms=job.waited_ms(),
            keep_ms=round(job.wishes.keep_seconds * 1000),
            images=wire.images_to_pb(job.images, with_data=handoff is None and encoded is None),
            encoded=wire.encoded_to_pb(encoded) if encoded is not None else None,
        )
        if self._conversation.is_open and _is_light(job):
            return AskedCall(self._conversation.ask(request, dict(metadata)))
        return StreamCall(self._decode.Generate(request, metadata=metadata), generate_event)

    def prefill(
        self,
        job: Job,
        attempt: int,
        handoff: Handoff,
        prefix: PrefixSource | None,
        hold: float = 0.0,
        metadata: Metadata = (),
        encoded: Handoff | None = None,
    ) -> Call:
        """`hold`: seconds that the blocks outlive the call, once they are computed."""
        request = prefill_pb2.PrefillRequest(
            request_id=job.request_id,
            attempt=attempt,
            transfer_id=handoff.transfer_id,
            ticket=handoff.ticket,
            prompt_token_ids=job.prompt,
            sampling=wire.sampling_to_pb(job.params),
            cache_salt=job.cache_salt,
            tenant=job.tenant,
            answered_token_ids=job.answered,
            priority=job.priority,
            waited_ms=job.waited_ms(),
            prefix=wire.prefix_source_to_pb(prefix) if prefix is not None else None,
            hold_ms=round(hold * 1000),
            images=wire.images_to_pb(job.images, with_data=encoded is None),
            encoded=wire.encoded_to_pb(encoded) if encoded is not None else None,
        )
        return StreamCall(self._prefill.Prefill(request, metadata=metadata), prefill_event)

    def encode(self, job: Job, attempt: int, handoff: Handoff, metadata: Metadata = ()) -> Call:
        """The job's images, to be pulled by that hand-off."""
        request = encode_pb2.EncodeRequest(
            request_id=job.request_id,
            attempt=attempt,
            transfer_id=handoff.transfer_id,
            ticket=handoff.ticket,
            images=wire.images_to_pb(distinct(job.images), with_data=True),
            cache_salt=job.cache_salt,
            tenant=job.tenant,
        )
        return StreamCall(self._encode.Encode(request, metadata=metadata), encode_event)

    def hand_over(
        self,
        request_id: str,
        attempt: int,
        choice: int,
        handoff: Handoff,
        metadata: Metadata = (),
    ) -> HandOverCall:
        """`choice` under the number that the worker's Generate, of this attempt, knows it by."""
        request = decode_pb2.HandOverRequest(
            request_id=request_id,
            attempt=attempt,
            choice=choice,
            transfer_id=handoff.transfer_id,
            ticket=handoff.ticket,
        )
        return StreamCall(self._decode.HandOver(request, metadata=metadata), hand_over_event)

    async def renew(self, handoff: Handoff, hold: float) -> float:
        """Seconds for which the blocks are held now; 0: they are not."""
        request = kv_transfer_pb2.RenewRequest(
            transfer_id=handoff.transfer_id, ticket=handoff.ticket, hold_ms=round(hold * 1000)
        )
        try:
            answer = await self._kv.Renew(request, timeout=SHORT_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return answer.left_ms / 1000

    async def abort(self, handoff: Handoff, reason: str) -> None:
        """Gives a hand-off up that nobody pulls."""
        request = kv_transfer_pb2.AbortRequest(
            transfer_id=handoff.transfer_id, ticket=handoff.ticket, reason=reason
        )
        try:
            await self._kv.Abort(request, timeout=SHORT_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def watch(self, instance_id: str) -> AsyncGenerator[WorkerLoad | KvChange, None]:
        """Ends with the instance, by a BatonError if it breaks. Begins with a load and a snapshot."""
        request = worker_pb2.WatchRequest(instance_id=instance_id)
        try:
            async for message in self._worker.Watch(request):
                if message.HasField("load"):
                    yield wire.worker_load_from_pb(message.load)
                if message.HasField("kv"):
                    yield wire.kv_change_from_pb(message.kv)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def close(self) -> None:
        await self._conversation.close()
        await self._channel.close()


def _is_light(job: Job) -> bool:
    """Whether its messages are small: behind large ones all other answers of the worker would wait."""
    known = len(job.prompt) + len(job.answered)
    return known <= LIGHT_TOKENS and job.params.prompt_logprobs is None and not job.images
