"""Scripted workers: real gRPC servers that speak the protocol and compute nothing.

A script is an async generator of responses; it may raise a BatonError. `Calls` records what
arrived and whether the gateway cancelled it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc

from baton.core.errors import BatonError
from baton.core.fingerprint import Fingerprint
from baton.core.labels import Labels
from baton.core.token_record import FinishReason, TokenRecord
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad
from baton.registry.membership import Membership
from baton.rpc.server import bind, make_server
from baton.rpc.tls_identity import TlsIdentity
from baton.rpc.wire import record_to_pb, worker_load_to_pb
from baton.v1 import (
    decode_pb2,
    decode_pb2_grpc,
    prefill_pb2,
    prefill_pb2_grpc,
    worker_pb2,
    worker_pb2_grpc,
)
from tests.support.gateway_members import make_info, make_load

DecodeScript = Callable[[decode_pb2.GenerateRequest], AsyncIterator[decode_pb2.GenerateResponse]]
PrefillScript = Callable[[prefill_pb2.PrefillRequest], AsyncIterator[prefill_pb2.PrefillResponse]]

RESERVED = decode_pb2.GenerateResponse(reserved=decode_pb2.GenerateReserved(ttl_ms=1000))
FINISHED = decode_pb2.GenerateResponse(finished=decode_pb2.GenerateFinished())
ADMITTED = prefill_pb2.PrefillResponse(admitted=prefill_pb2.PrefillAdmitted(num_cached_tokens=3))
ADMITTED_ALONE = decode_pb2.GenerateResponse(
    admitted=decode_pb2.GenerateAdmitted(num_cached_tokens=4)
)
RELEASED = prefill_pb2.PrefillResponse(released=prefill_pb2.PrefillReleased(confirmed=True))


@dataclass(eq=False)
class FakeCall:
    request: Any
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ran_out: bool = False  # the script came to its own end, in order or by its error

    def over(self, context: Any) -> None:
        """A cancellation may come while a response is written, where no script hears of it."""
        if not self.ran_out:
            self.cancelled.set()
        self.ended.set()


class Calls:
    """Calls of one kind, in order of arrival."""

    def __init__(self) -> None:
        self.all: list[FakeCall] = []
        self._came = asyncio.Condition()

    async def add(self, request: Any) -> FakeCall:
        call = FakeCall(request)
        async with self._came:
            self.all.append(call)
            self._came.notify_all()
        return call

    async def number(self, index: int) -> FakeCall:
        """Waits for it. Bounded."""
        async with asyncio.timeout(30), self._came:
            await self._came.wait_for(lambda: len(self.all) > index)
        return self.all[index]


class FakeWorker:
    """`start()` serves and joins; `stop()` dies like a killed process, without a goodbye."""

    def __init__(
        self, worker_id: str, role: Role, fingerprint: Fingerprint, labels: Labels = ()
    ) -> None:
        self.worker_id = worker_id
        self.role = role
        self.fingerprint = fingerprint
        self.labels = labels
        self.instance_id = ""  # one that follows from the worker id
        self.calls = Calls()
        self.decode_script: DecodeScript = answering([5, 6, 7])
        self.prefill_script: PrefillScript = prefilling([5])
        self.max_model_len = 1024
        self.files_digest = ""
        self._load = make_load()
        self._load_changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None
        self._member: asyncio.Task[None] | None = None

    async def start(self, registry: str, secret: str, tls: TlsIdentity | None = None) -> None:
        server = make_server(secret)
        decode_pb2_grpc.add_DecodeServiceServicer_to_server(_FakeDecode(self), server)
        prefill_pb2_grpc.add_PrefillServiceServicer_to_server(_FakePrefill(self), server)
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(_FakeWatch(self), server)
        self.address = f"127.0.0.1:{bind(server, '127.0.0.1', 0, tls)}"
        await server.start()
        self._server = server
        membership = Membership(self._info(), registry, secret, tls)
        self._member = asyncio.create_task(membership.run())
        async with asyncio.timeout(30):
            await membership.joined.wait()

    async def stop(self) -> None:
        if self._server is None or self._member is None:
            return
        self._member.cancel()
        await asyncio.gather(self._member, return_exceptions=True)
        await self._server.stop(None)
        self._server = None

    async def leave(self) -> None:
        """The registry loses it; it goes on serving."""
        if self._member is not None:
            self._member.cancel()
            await asyncio.gather(self._member, return_exceptions=True)

    async def set_load(self, load: WorkerLoad) -> None:
        async with self._load_changed:
            self._load = load
            self._load_changed.notify_all()

    async def loads(self) -> AsyncIterator[WorkerLoad]:
        seen: WorkerLoad | None = None
        while True:
            async with self._load_changed:
                while seen is self._load:
                    await self._load_changed.wait()
                seen = self._load
            yield seen

    def _info(self) -> WorkerInfo:
        info = make_info(
            self.worker_id,
            self.role,
            self.fingerprint,
            self.address,
            self.instance_id,
            max_model_len=self.max_model_len,
            labels=self.labels,
        )
        return replace(info, files_digest=self.files_digest)


async def _followed(script: AsyncIterator[Any], call: FakeCall) -> AsyncIterator[Any]:
    try:
        async for response in script:
            yield response
    except asyncio.CancelledError:
        call.cancelled.set()
        raise
    except BatonError:
        call.ran_out = True
        raise
    else:
        call.ran_out = True
    finally:
        call.ended.set()


class _FakeDecode(decode_pb2_grpc.DecodeServiceServicer):
    def __init__(self, worker: FakeWorker) -> None:
        self._worker = worker

    async def Generate(
        self, request: decode_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[decode_pb2.GenerateResponse]:
        call = await self._worker.calls.add(request)
        context.add_done_callback(call.over)
        async for response in _followed(self._worker.decode_script(request), call):
            yield response

    async def HandOver(
        self, request: decode_pb2.HandOverRequest, context: Any
    ) -> AsyncIterator[decode_pb2.HandOverResponse]:
        raise NotImplementedError
        yield decode_pb2.HandOverResponse()

    async def Converse(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[decode_pb2.ConverseResponse]:
        """As a worker of an earlier release answers."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        yield decode_pb2.ConverseResponse()


class _FakePrefill(prefill_pb2_grpc.PrefillServiceServicer):
    def __init__(self, worker: FakeWorker) -> None:
        self._worker = worker

    async def Prefill(
        self, request: prefill_pb2.PrefillRequest, context: Any
    ) -> AsyncIterator[prefill_pb2.PrefillResponse]:
        call = await self._worker.calls.add(request)
        context.add_done_callback(call.over)
        async for response in _followed(self._worker.prefill_script(request), call):
            yield response


class _FakeWatch(worker_pb2_grpc.WorkerServiceServicer):
    def __init__(self, worker: FakeWorker) -> None:
        self._worker = worker

    async def Watch(
        self, request: worker_pb2.WatchRequest, context: Any
    ) -> AsyncIterator[worker_pb2.WatchResponse]:
        async for load in self._worker.loads():
            yield worker_pb2.WatchResponse(load=worker_load_to_pb(load))

    async def Health(self, request: worker_pb2.HealthRequest, context: Any) -> Any:
        raise NotImplementedError

    async def Describe(self, request: worker_pb2.WorkerServiceDescribeRequest, context: Any) -> Any:
        raise NotImplementedError

    async def Drain(self, request: worker_pb2.DrainRequest, context: Any) -> Any:
        raise NotImplementedError

    async def Flip(
        self, request: worker_pb2.FlipRequest, context: Any
    ) -> AsyncIterator[worker_pb2.FlipResponse]:
        raise NotImplementedError
        yield worker_pb2.FlipResponse()


def records(
    prompt_len: int,
    tokens: Sequence[int],
    choice: int = 0,
    finish: FinishReason | None = FinishReason.LENGTH,
) -> list[TokenRecord]:
    last = len(tokens) - 1
    return [
        TokenRecord(choice, prompt_len + i, token, finish if i == last else None)
        for i, token in enumerate(tokens)
    ]


def decoded(batch: Sequence[TokenRecord]) -> decode_pb2.GenerateResponse:
    tokens = decode_pb2.GenerateTokens(records=[record_to_pb(record) for record in batch])
    return decode_pb2.GenerateResponse(tokens=tokens)


def prefilled(batch: Sequence[TokenRecord]) -> prefill_pb2.PrefillResponse:
    tokens = prefill_pb2.PrefillTokens(records=[record_to_pb(record) for record in batch])
    return prefill_pb2.PrefillResponse(tokens=tokens)


def answering(tokens: Sequence[int], finish: FinishReason = FinishReason.LENGTH) -> DecodeScript:
    """Every choice gets the same tokens, one message per position."""

    async def script(
        request: decode_pb2.GenerateRequest,
    ) -> AsyncIterator[decode_pb2.GenerateResponse]:
        yield RESERVED
        if not request.HasField("handoff"):
            yield ADMITTED_ALONE
        for batch in positions(len(request.prompt_token_ids), tokens, request.sampling.n, finish):
            yield decoded(batch)
        yield FINISHED

    return script


def prefilling(tokens: Sequence[int], ends: FinishReason | None = None) -> PrefillScript:
    async def script(
        request: prefill_pb2.PrefillRequest,
    ) -> AsyncIterator[prefill_pb2.PrefillResponse]:
        yield ADMITTED
        length = len(request.prompt_token_ids)
        for batch in positions(length, tokens, request.sampling.n, ends):
            yield prefilled(batch)
        yield RELEASED

    return script


def positions(
    prompt_len: int, tokens: Sequence[int], choices: int, finish: FinishReason | None
) -> list[list[TokenRecord]]:
    columns = [records(prompt_len, tokens, choice, finish) for choice in range(choices)]
    return [list(row) for row in zip(*columns, strict=True)]
