"""Real prefill and decode workers inside one process, with real gRPC between them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from baton.cluster.either_role import SERVICES
from baton.core.handoff import Handoff, new_id, new_ticket
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad
from baton.engine.blocks.storage import Storage
from baton.engine.engine import Engine
from baton.engine.plan import Runner
from baton.engine.runners.hash_model import HashModelConfig
from baton.rpc import wire
from baton.rpc.channel import open_channel
from baton.rpc.server import bind, make_server
from baton.v1 import decode_pb2, decode_pb2_grpc, prefill_pb2, prefill_pb2_grpc
from baton.worker.flipping import Flipping
from baton.worker.loaded_engine import LoadedEngine
from baton.worker.process import worker_info
from baton.worker.services import add_shared_services
from baton.worker.settings import WorkerSettings
from baton.worker.worker import Worker
from kv_transfer.sender_events import SenderLimits
from tests.support.engine_hash_model import HASH_MODEL, hash_runner
from tests.support.watched_loads import loads

if TYPE_CHECKING:
    from baton.engine.vision.encoder import ImageEncoder

BLOCKS = 256


@dataclass(frozen=True, slots=True)
class Served:
    """One worker and a channel to it."""

    worker: Worker
    channel: grpc.aio.Channel

    async def until_idle(self) -> None:
        """Returns once nothing is used, reserved, lent or running; raises TimeoutError."""
        await self.until(
            lambda load: load.free_blocks == load.total_blocks and not (load.running + load.waiting)
        )

    async def until(self, so: Callable[[WorkerLoad], bool], seconds: float = 30.0) -> None:
        """Watches the load as a gateway would; raises TimeoutError."""
        async with asyncio.timeout(seconds), aclosing(loads(self.worker.board)) as seen:
            async for load in seen:
                if so(load):
                    return

    def prefill(self, request: prefill_pb2.PrefillRequest) -> Any:
        """The call: an async iterator of PrefillResponse with `cancel`."""
        return prefill_pb2_grpc.PrefillServiceStub(self.channel).Prefill(request)

    def generate(self, request: decode_pb2.GenerateRequest) -> Any:
        """The call: an async iterator of GenerateResponse with `cancel`."""
        return decode_pb2_grpc.DecodeServiceStub(self.channel).Generate(request)

    def hand_over(self, request: decode_pb2.HandOverRequest) -> Any:
        """The call: an async iterator of HandOverResponse with `cancel`."""
        return decode_pb2_grpc.DecodeServiceStub(self.channel).HandOver(request)


@asynccontextmanager
async def serving(
    role: Role,
    model: HashModelConfig = HASH_MODEL,
    num_blocks: int = BLOCKS,
    settings: WorkerSettings | None = None,
    runner: Runner | None = None,
    lease_limits: SenderLimits | None = None,
    storage: Storage | None = None,
    images: "ImageEncoder | None" = None,
    roles: Collection[Role] = (),
) -> AsyncIterator[Served]:
    """Of a hash model, unless there is a `runner`; `images` is its encoder, if it has one. `roles` that it can have, if not both."""
    runner = runner or hash_runner(model)
    settings = settings or WorkerSettings(
        model="test",
        worker_id=role.value,
        kv_cache_memory_bytes=num_blocks * runner.layout.block_bytes,
    )
    engine = Engine(runner, settings.engine, storage, images)
    engine.start()
    server = make_server(settings.cluster_secret)
    tls = settings.cluster_tls.identity()
    address = f"127.0.0.1:{bind(server, '127.0.0.1', 0, tls)}"
    info = worker_info(settings, role, LoadedEngine(engine, SERVICES), address, "")
    worker = Worker(info, engine, settings, lease_limits)
    flipping = Flipping(worker.desk, worker.board, info, roles or SERVICES, worker.flips)
    add_shared_services(worker, server, flipping)
    for add_service in SERVICES.values():
        add_service(worker, server)
    worker.start()
    await server.start()
    changes = asyncio.create_task(flipping.run(lambda: worker.idle, worker.turn, _announced))
    try:
        async with open_channel(address, settings.cluster_secret, tls) as channel:
            yield Served(worker, channel)
    finally:
        worker.board.close()
        await changes
        await server.stop(0)
        await worker.close()
        engine.close()


async def _announced(info: WorkerInfo) -> None:
    """Nobody follows a registry here."""


def handoff_to(prefill: Served) -> Handoff:
    info = prefill.worker.info
    return Handoff(new_id(), new_ticket(), info.address, info.instance_id)


def prefill_request(
    handoff: Handoff,
    prompt: tuple[int, ...],
    params: SamplingParams,
    answered: tuple[int, ...] = (),
) -> prefill_pb2.PrefillRequest:
    return prefill_pb2.PrefillRequest(
        request_id=handoff.transfer_id,
        transfer_id=handoff.transfer_id,
        ticket=handoff.ticket,
        prompt_token_ids=prompt,
        sampling=wire.sampling_to_pb(params),
        answered_token_ids=answered,
    )


def generate_request(
    handoff: Handoff | None,
    prompt: tuple[int, ...],
    params: SamplingParams,
    answered: tuple[int, ...] = (),
) -> decode_pb2.GenerateRequest:
    return decode_pb2.GenerateRequest(
        request_id=handoff.transfer_id if handoff else new_id(),
        prompt_token_ids=prompt,
        sampling=wire.sampling_to_pb(params),
        handoff=wire.handoff_to_pb(handoff) if handoff else None,
        answered_token_ids=answered,
    )


def hand_over_request(
    handoff: Handoff, request_id: str, choice: int = 0
) -> decode_pb2.HandOverRequest:
    return decode_pb2.HandOverRequest(
        request_id=request_id,
        choice=choice,
        transfer_id=handoff.transfer_id,
        ticket=handoff.ticket,
    )


def by_choice(records: list[TokenRecord], choices: int) -> tuple[tuple[TokenRecord, ...], ...]:
    return tuple(tuple(r for r in records if r.choice == c) for c in range(choices))
