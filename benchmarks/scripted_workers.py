"""Many workers in one process that compute nothing: they say tokens in the workers' own words, all
streams in step, one message a token; to a gateway that converses, one a step. What a gateway does with such a cluster is the gateway's alone.

python -m benchmarks.scripted_workers --registry 127.0.0.1:9000 --tokenizer FOLDER
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import click

from baton.core.errors import RefusedError
from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.handoff import new_id
from baton.core.kv_events import KvChange
from baton.core.layout import LayoutDescriptor
from baton.core.room import Room
from baton.core.token_record import FinishReason, TokenRecord
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad
from baton.engine.work import Admitted, TokensDrawn, WorkDone
from baton.registry.membership import Membership
from baton.rpc import wire
from baton.rpc.server import bind, make_server
from baton.v1 import (
    decode_pb2,
    decode_pb2_grpc,
    prefill_pb2,
    prefill_pb2_grpc,
    worker_pb2_grpc,
)
from baton.worker.desk import Desk
from baton.worker.flipping import Flipping
from baton.worker.flips import Flips
from baton.worker.load import LoadBoard
from baton.worker.worker_service import WorkerServicer
from decode_worker.conversing import converse
from decode_worker.outlet import Outlet
from decode_worker.own_stream import OwnStream
from gateway.prompts.tokenizer import load_tokenizer

BLOCKS = 65_536
LONGEST = 8192  # tokens
TOKENS = range(300, 2500)  # what answers are made of
_NO_KEYS = KvChange(0, 0, snapshot=True)


class Beat:
    """The step of all workers: whoever waits for the next one goes on at the same moment."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = asyncio.Event()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            passed, self._next = self._next, asyncio.Event()
            passed.set()

    async def wait(self) -> None:
        await self._next.wait()


class ScriptedWorker(
    decode_pb2_grpc.DecodeServiceServicer, prefill_pb2_grpc.PrefillServiceServicer
):
    """Its tokens hang on their position alone, so that prefill and decode tell the same first one."""

    def __init__(self, beat: Beat, role: Role) -> None:
        self._beat = beat
        self.board = LoadBoard(self._load)
        self.desk = Desk(role, 1 << 20, self.board.touch)

    async def Prefill(
        self, request: prefill_pb2.PrefillRequest, context: Any
    ) -> AsyncGenerator[prefill_pb2.PrefillResponse, None]:
        with self.desk.take(Role.PREFILL, request.request_id, request.attempt, 1):
            yield prefill_pb2.PrefillResponse(admitted=prefill_pb2.PrefillAdmitted())
            record = wire.record_to_pb(_record(request, 0))
            yield prefill_pb2.PrefillResponse(tokens=prefill_pb2.PrefillTokens(records=[record]))
            released = prefill_pb2.PrefillReleased(confirmed=True)
            yield prefill_pb2.PrefillResponse(released=released)

    async def Generate(
        self, request: decode_pb2.GenerateRequest, context: Any
    ) -> AsyncGenerator[decode_pb2.GenerateResponse, None]:
        async for response in self._generate(request, {}, OwnStream()):
            yield response

    async def Converse(
        self, request_iterator: Any, context: Any
    ) -> AsyncGenerator[decode_pb2.ConverseResponse, None]:
        leaves = self.board.closed
        async with aclosing(converse(self._generate, request_iterator, leaves)) as messages:
            async for message in messages:
                yield message

    async def _generate(
        self, request: decode_pb2.GenerateRequest, metadata: Mapping[str, str], outlet: Outlet
    ) -> AsyncGenerator[decode_pb2.GenerateResponse, None]:
        with self.desk.take(Role.DECODE, request.request_id, request.attempt, 1):
            reserved = decode_pb2.GenerateReserved(ttl_ms=30_000)
            yield decode_pb2.GenerateResponse(reserved=reserved)
            writing = asyncio.create_task(self._write(request, outlet))
            try:
                async for response in outlet.own():
                    yield response
            finally:
                writing.cancel()
        yield decode_pb2.GenerateResponse(finished=decode_pb2.GenerateFinished())

    async def _write(self, request: decode_pb2.GenerateRequest, outlet: Outlet) -> None:
        if not request.HasField("handoff"):
            outlet.put(Admitted(0))
        for index in range(request.sampling.max_tokens):
            await self._beat.wait()
            outlet.put(TokensDrawn((_record(request, index),)))
        outlet.put(WorkDone())

    async def HandOver(
        self, request: decode_pb2.HandOverRequest, context: Any
    ) -> AsyncGenerator[decode_pb2.HandOverResponse, None]:
        raise RefusedError("a scripted worker has nothing to hand over")
        yield

    def _load(self) -> WorkerLoad:
        room = Room(free_blocks=BLOCKS)
        return WorkerLoad(self.desk.state, self.desk.requests, 0, BLOCKS, 0, 0, BLOCKS, room=room)


def _record(
    request: prefill_pb2.PrefillRequest | decode_pb2.GenerateRequest, index: int
) -> TokenRecord:
    """The answer's token of this index."""
    position = len(request.prompt_token_ids) + index
    last = index + 1 == request.sampling.max_tokens
    token_id = TOKENS[position * 7919 % len(TOKENS)]
    return TokenRecord(0, position, token_id, FinishReason.LENGTH if last else None)


@click.command()
@click.option("--registry", required=True, help="HOST:PORT that the workers join.")
@click.option("--tokenizer", required=True, type=click.Path(exists=True), help="The gateway's.")
@click.option("--prefill", default=0, show_default=True, type=click.IntRange(0))
@click.option("--decode", default=1, show_default=True, type=click.IntRange(1))
@click.option("--step-seconds", default=0.02, show_default=True)
@click.option("--log-level", hidden=True)
def main(
    registry: str, tokenizer: str, prefill: int, decode: int, step_seconds: float, log_level: str
) -> None:
    """Says in one JSON line where the decode workers are, once all have joined."""
    roles = [Role.PREFILL] * prefill + [Role.DECODE] * decode
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(roles, registry, tokenizer, step_seconds))


async def _serve(roles: list[Role], registry: str, tokenizer: str, step: float) -> None:
    beat = Beat(step)
    beating = asyncio.create_task(beat.run())
    layout = LayoutDescriptor(32, 8, 128, 16, "bfloat16")
    digest = load_tokenizer(Path(tokenizer)).digest
    fingerprint = Fingerprint(PROTOCOL_VERSION, "scripted", "", digest, "bfloat16", layout, "none")
    members = [await _start(role, n, beat, registry, fingerprint) for n, role in enumerate(roles)]
    staying = [asyncio.create_task(member.run()) for _, member in members]
    for _, member in members:
        await member.joined.wait()
    decoders = [info.address for info, _ in members if info.role is Role.DECODE]
    click.echo(json.dumps({"decode": decoders}))
    await asyncio.gather(beating, *staying)


async def _start(
    role: Role, number: int, beat: Beat, registry: str, fingerprint: Fingerprint
) -> tuple[WorkerInfo, Membership]:
    server, worker = make_server(), ScriptedWorker(beat, role)
    port = bind(server, "127.0.0.1", 0)
    info = WorkerInfo(
        *(f"{role.value}-{number}", new_id(), role, f"127.0.0.1:{port}", "", os.getpid()),
        *("scripted", LONGEST, BLOCKS, fingerprint),
    )
    service = WorkerServicer(
        *(lambda: info, worker.desk, worker.board, lambda: True, lambda number: _NO_KEYS),
        Flipping(worker.desk, worker.board, info, (role,), Flips()),
    )
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(service, server)
    if role is Role.PREFILL:
        prefill_pb2_grpc.add_PrefillServiceServicer_to_server(worker, server)
    else:
        decode_pb2_grpc.add_DecodeServiceServicer_to_server(worker, server)
    await server.start()
    worker_keeps_server[info.instance_id] = server
    return info, Membership(info, registry)


worker_keeps_server: dict[str, Any] = {}  # gRPC ends a server that nobody holds


if __name__ == "__main__":
    main()
