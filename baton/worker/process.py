"""A worker's process: start-up, serve, shut down. The role adds its service."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import click
import grpc
from grpc_health.v1 import health_pb2_grpc
from prometheus_client import CollectorRegistry

from baton.core.address import join_address
from baton.core.collector import without_collector
from baton.core.errors import SettingsError
from baton.core.handoff import new_id
from baton.core.interrupts import Interrupts
from baton.core.worker_info import Role, WorkerInfo
from baton.engine.build import build_engine
from baton.engine.engine import Engine
from baton.model_source import Part, resolve
from baton.registry.choice import Member, member_in_redis
from baton.registry.membership import Membership
from baton.rpc.server import bind, make_server
from baton.settings import options
from baton.telemetry.logs import setup_logging
from baton.telemetry.metrics import (
    HEALTH,
    LIVE,
    MetricsServer,
    TaskCollector,
    WorkerCollector,
    loop_answers,
)
from baton.v1 import kv_transfer_pb2_grpc, worker_pb2_grpc
from baton.worker.drain import drain, say_goodbye
from baton.worker.health_service import HealthServicer
from baton.worker.settings import WorkerSettings
from baton.worker.worker import Worker
from baton.worker.worker_service import WorkerServicer
from kv_transfer.service import KvTransferServicer

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

_SHARED_SERVICES = ("baton.v1.WorkerService", "baton.v1.KvTransferService")
_SERVICE_OF_ROLE = {
    Role.PREFILL: "baton.v1.PrefillService",
    Role.DECODE: "baton.v1.DecodeService",
}

AddService = Callable[[Worker, grpc.aio.Server], None]


def command(role: Role, be_worker: Callable[[WorkerSettings], NoReturn]) -> click.Command:
    """The command line of a role."""

    @click.command(name=role.value)
    @options(WorkerSettings)
    def main(settings: WorkerSettings) -> None:
        be_worker(settings)

    main.help = f"Run one {role.value} worker."
    return main


def be_worker_of(role: Role, settings: WorkerSettings, add_service: AddService) -> NoReturn:
    """The whole life of a worker's process, whose end it is."""
    try:
        setup_logging(
            settings.log_level,
            settings.log_format,
            process=role.value,
            worker_id=settings.worker_id,
        )
        code = run(settings, role, add_service)
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        code = os.EX_CONFIG  # which says that starting again as it is cannot help
    except KeyboardInterrupt:  # while loading, before the loop has its own handler
        code = 130
    sys.exit(code)


def run(settings: WorkerSettings, role: Role, add_service: AddService) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code. Raises SettingsError at start-up."""
    settings.check()
    folder = resolve(settings.model, settings.hub, Part.ALL, logger.info)
    with without_collector():
        engine = build_engine(str(folder), settings.engine)
    tracer = settings.tracing.start(role.value, settings.worker_id)
    try:
        return asyncio.run(_serve(settings, role, engine, add_service, tracer))
    finally:
        engine.close()
        if tracer is not None:
            tracer.close()


async def _serve(
    settings: WorkerSettings,
    role: Role,
    engine: Engine,
    add_service: AddService,
    tracer: "Tracer | None",
) -> int:
    interrupts = Interrupts()
    interrupts.listen()
    async with AsyncExitStack() as stack:
        engine.start()
        stack.callback(engine.stop)  # while the loop that its events go to still runs
        server = make_server(settings.cluster_secret)
        port = bind(server, settings.host, settings.port, settings.cluster_tls.identity())
        metrics = _metrics_server(settings, stack)
        info = worker_info(
            settings,
            role,
            engine,
            join_address(settings.advertise_host or settings.host, settings.advertise_port or port),
            metrics.url,
        )
        max_choices = settings.max_num_seqs if role is Role.DECODE else None
        worker = Worker(info, engine, settings, max_choices, tracer=tracer)
        stack.push_async_callback(worker.close)
        worker.start()
        metrics.registry.register(WorkerCollector(settings.model, worker.reading))
        loop = asyncio.get_running_loop()
        metrics.registry.register(TaskCollector(loop))
        metrics.probes[LIVE] = lambda: loop_answers(loop)
        add_shared_services(worker, server)
        add_service(worker, server)
        await server.start()
        stack.push_async_callback(say_goodbye, server, worker)
        membership = await _join(settings, info, stack, interrupts.stop)
        stack.push_async_callback(_drain, worker, settings.shutdown_seconds, interrupts.hurry)
        if interrupts.stop.is_set():
            return 0
        metrics.probes[HEALTH] = lambda: worker.takes_requests
        _tell_ready(settings.ready_fd, info)
        logger.info("%s serves %s at %s", info.worker_id, settings.model, info.address)
        return await _until_over(interrupts.stop, worker, membership)


async def _drain(worker: Worker, seconds: float, hurry: asyncio.Event) -> None:
    """Leaves the process at once when hurried: the step at hand may take long, and what a dead
    process leaves behind is the same as after any kill: nothing.
    """
    await drain(worker, seconds, hurry)
    if hurry.is_set():
        logger.warning("ending now; %d requests are cut off", worker.requests)
        os._exit(1)


def _metrics_server(settings: WorkerSettings, stack: AsyncExitStack) -> MetricsServer:
    metrics = MetricsServer(CollectorRegistry(), settings.host, settings.metrics_port)
    metrics.start()
    stack.callback(metrics.close)
    return metrics


def add_shared_services(worker: Worker, server: grpc.aio.Server) -> None:
    """What every worker serves, whatever its role. Its health speaks for its role's service too."""
    servicer = WorkerServicer(
        worker.info,
        worker.desk,
        worker.board,
        lambda: worker.bridge.engine.alive,
        worker.blocks.kv_change,
    )
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, server)
    kv_transfer_pb2_grpc.add_KvTransferServiceServicer_to_server(
        KvTransferServicer(worker.sender), server
    )
    for plane in worker.served_planes:
        plane.add_to(server)
    services = {*_SHARED_SERVICES, _SERVICE_OF_ROLE[worker.info.role]}
    health = HealthServicer(services, worker.board, lambda: worker.takes_requests)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)


def worker_info(
    settings: WorkerSettings, role: Role, engine: Engine, address: str, metrics_url: str
) -> WorkerInfo:
    return WorkerInfo(
        worker_id=settings.worker_id or f"{role.value}-{os.getpid()}",
        instance_id=new_id(),
        role=role,
        address=address,
        metrics_url=metrics_url,
        pid=os.getpid(),
        model=settings.model,
        max_model_len=engine.max_model_len,
        num_blocks=engine.blocks.total,
        fingerprint=engine.runner.fingerprint,
        labels=settings.read_labels(),
    )


async def _join(
    settings: WorkerSettings, info: WorkerInfo, stack: AsyncExitStack, stopping: asyncio.Event
) -> "asyncio.Task[None] | None":
    """Registers for as long as the process serves; waits for the first time, or to be stopped."""
    membership = _membership(settings, info)
    if membership is None:
        return None
    task = asyncio.create_task(membership.run(), name="membership")
    stack.push_async_callback(_cancelled, task)
    waits = [asyncio.create_task(e.wait()) for e in (membership.joined, stopping)]
    await asyncio.wait((task, *waits), return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if task.done():
        task.result()  # the registry will never have this worker
    return task


def _membership(settings: WorkerSettings, info: WorkerInfo) -> Member | None:
    """None: the worker stands alone."""
    if settings.redis.place is not None:
        return member_in_redis(info, settings.redis.place, settings.cluster_secret)
    if settings.registry:
        return Membership(
            info, settings.registry, settings.cluster_secret, settings.cluster_tls.identity()
        )
    return None


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _tell_ready(ready_fd: int | None, info: WorkerInfo) -> None:
    if ready_fd is None:
        return
    line = {
        "worker_id": info.worker_id,
        "address": info.address,
        "metrics_url": info.metrics_url,
        "pid": info.pid,
    }
    with os.fdopen(ready_fd, "w") as ready:
        ready.write(json.dumps(line) + "\n")


async def _until_over(
    stopping: asyncio.Event, worker: Worker, membership: "asyncio.Task[None] | None"
) -> int:
    """0 when told to stop or drained, 1 when the engine has died and the process is of no use any
    more.

    Raises SettingsError when the registry will never have this worker.
    """
    waits: list[asyncio.Task[Any]] = [
        asyncio.create_task(work)
        for work in (stopping.wait(), worker.bridge.failed.wait(), worker.until_drained())
    ]
    await asyncio.wait(
        [*waits, *([membership] if membership else [])], return_when=asyncio.FIRST_COMPLETED
    )
    for wait in waits:
        wait.cancel()
    if membership and membership.done():
        membership.result()
    return 1 if worker.bridge.failed.is_set() else 0
