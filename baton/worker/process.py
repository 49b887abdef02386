"""A worker's process: start-up, serve, shut down. The role adds its service."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click
from prometheus_client import CollectorRegistry

from baton.core.address import join_address
from baton.core.collector import without_collector
from baton.core.errors import SettingsError
from baton.core.handoff import new_id
from baton.core.interrupts import Interrupts
from baton.core.worker_info import Role, WorkerInfo
from baton.engine.machine.thread_team import wait_briefly
from baton.model_source import Part, digest_of_files, resolve
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
    loop_answers,
    process_collector,
)
from baton.worker.drain import drain, say_goodbye
from baton.worker.enrolment import Enrolment
from baton.worker.flipping import Flipping
from baton.worker.loaded_engine import engine_loader
from baton.worker.served import Load, Loaded, ServedWorker
from baton.worker.services import Services, add_shared_services
from baton.worker.settings import WorkerSettings

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

# The engine's thread comes back from its kernels many times a step, and then waits for the interpreter
# while the loop writes to streams: by default up to 5 ms, as long as a whole step of a small model.
SWITCH_SECONDS = 0.0002

OnReady = Callable[[dict[str, Any]], None]


def command(role: Role, be_worker: Callable[[WorkerSettings], NoReturn]) -> click.Command:
    """The command line of a role."""

    @click.command(name=role.value)
    @options(WorkerSettings)
    def main(settings: WorkerSettings) -> None:
        be_worker(settings)

    main.help = f"Run one {role.value} worker."
    return main


def be_worker_of(role: Role, settings: WorkerSettings, services: Services) -> NoReturn:
    """The whole life of a worker's process, whose end it is. `role` is the one that it begins in."""
    be_worker_with(engine_loader(services, role), role, services.keys(), settings)


def be_worker_with(
    load: Load, role: Role, roles: Collection[Role], settings: WorkerSettings
) -> NoReturn:
    """Likewise, whatever it computes. `roles`: those that it can have."""
    wait_briefly(os.environ)
    try:
        _log_as(role, settings)
        code = run(settings, role, load, roles)
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        code = os.EX_CONFIG  # which says that starting again as it is cannot help
    except KeyboardInterrupt:  # while loading, before the loop has its own handler
        code = 130
    _leave(code)


def _leave(code: int) -> NoReturn:
    """Ends the process without taking the interpreter apart. All that is ours is closed by now, and
    what torch brings along (Triton's nanobind) lists hundreds of objects that it would leave there:
    behind the last words of a start that failed, they are all that one sees.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _log_as(role: Role, settings: WorkerSettings) -> None:
    setup_logging(
        settings.log_level, settings.log_format, process=role.value, worker_id=settings.worker_id
    )


def run(
    settings: WorkerSettings,
    role: Role,
    load: Load,
    roles: Collection[Role],
    on_ready: OnReady | None = None,
    interrupts: Interrupts | None = None,
) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code. Raises SettingsError at start-up.

    Who runs it in a process that is not its own gives `on_ready`, which is called with the ready
    line on the loop of its own that this runs, and `interrupts`, which are set there instead of by
    signals.
    """
    settings.check()
    sys.setswitchinterval(SWITCH_SECONDS)
    folder = resolve(settings.model, settings.hub, Part.ALL, logger.info)
    with without_collector():
        loaded = load(str(folder), settings)
    tracer = settings.tracing.start(role.value, settings.worker_id)
    files = digest_of_files(folder)
    try:
        return asyncio.run(
            _serve(settings, role, loaded, files, roles, on_ready, interrupts, tracer)
        )
    finally:
        loaded.close()
        if tracer is not None:
            tracer.close()


async def _serve(
    settings: WorkerSettings,
    role: Role,
    loaded: Loaded,
    files_digest: str,
    roles: Collection[Role],
    on_ready: OnReady | None,
    interrupts: Interrupts | None,
    tracer: "Tracer | None",
) -> int:
    owns_process = interrupts is None
    if interrupts is None:
        interrupts = Interrupts()
        interrupts.listen()
    async with AsyncExitStack() as stack:
        loaded.start()
        stack.callback(loaded.stop)  # while the loop that its events go to still runs
        server = make_server(settings.cluster_secret)
        port = bind(server, settings.host, settings.port, settings.cluster_tls.identity())
        metrics = _metrics_server(settings, stack)
        info = worker_info(
            settings,
            role,
            loaded,
            join_address(settings.advertise_host or settings.host, settings.advertise_port or port),
            metrics.url,
            files_digest,
        )
        worker = loaded.serve(info, settings, server, tracer)
        stack.push_async_callback(worker.close)
        worker.start()
        metrics.registry.register(worker.collector(settings.shown_model))
        metrics.registry.register(process_collector())
        loop = asyncio.get_running_loop()
        metrics.registry.register(TaskCollector(loop))
        metrics.probes[LIVE] = lambda: loop_answers(loop)
        flipping = Flipping(worker.desk, worker.board, info, roles, worker.flips)
        add_shared_services(worker, server, flipping)
        await server.start()
        stack.push_async_callback(say_goodbye, server, worker)
        enrolment = Enrolment(partial(_membership, settings))
        stack.push_async_callback(enrolment.leave)
        await _first(enrolment.join(info), interrupts.stop.wait())
        if enrolment.failed.done():
            enrolment.failed.result()
        stack.push_async_callback(
            _drain, worker, flipping, settings.shutdown_seconds, interrupts.hurry
        )
        if interrupts.stop.is_set():
            return 0
        changes = asyncio.create_task(
            _keep_changing(worker, flipping, enrolment, settings if owns_process else None)
        )
        stack.push_async_callback(_cancelled, changes)
        metrics.probes[HEALTH] = lambda: worker.takes_requests
        _tell_ready(settings.ready_fd, info, on_ready)
        logger.info("%s serves %s at %s", info.worker_id, settings.model, info.address)
        await _first(
            *(interrupts.stop.wait(), worker.failed.wait(), worker.until_drained()),
            *(enrolment.failed, changes),
        )
        return _exit_code(worker, enrolment, changes)


async def _keep_changing(
    worker: ServedWorker, flipping: Flipping, enrolment: Enrolment, logs: WorkerSettings | None
) -> None:
    """Its role, whenever that is asked for. `logs` says how, where all of the process's are its own."""

    async def announce(info: WorkerInfo) -> None:
        if logs is not None:
            _log_as(info.role, logs)
        await enrolment.join(info)

    await flipping.run(lambda: worker.idle, worker.turn, announce)


async def _drain(
    worker: ServedWorker, flipping: Flipping, seconds: float, hurry: asyncio.Event
) -> None:
    """Leaves the process at once when hurried: the step at hand may take long, and what a dead
    process leaves behind is the same as after any kill: nothing.
    """
    flipping.leave()
    await drain(worker, seconds, hurry)
    if hurry.is_set():
        logger.warning("ending now; %d requests are cut off", worker.requests)
        os._exit(1)


def _metrics_server(settings: WorkerSettings, stack: AsyncExitStack) -> MetricsServer:
    metrics = MetricsServer(CollectorRegistry(), settings.host, settings.metrics_port)
    metrics.start()
    stack.callback(metrics.close)
    return metrics


def worker_info(
    settings: WorkerSettings,
    role: Role,
    loaded: Loaded,
    address: str,
    metrics_url: str,
    files_digest: str = "",
) -> WorkerInfo:
    return WorkerInfo(
        worker_id=settings.worker_id or f"{role.value}-{os.getpid()}",
        instance_id=new_id(),
        role=role,
        address=address,
        metrics_url=metrics_url,
        pid=os.getpid(),
        model=settings.model,
        max_model_len=loaded.max_model_len,
        num_blocks=loaded.num_blocks,
        fingerprint=loaded.fingerprint,
        labels=settings.read_labels(),
        files_digest=files_digest,
    )


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


def _tell_ready(ready_fd: int | None, info: WorkerInfo, on_ready: OnReady | None) -> None:
    line = {
        "worker_id": info.worker_id,
        "address": info.address,
        "metrics_url": info.metrics_url,
        "pid": info.pid,
    }
    if on_ready is not None:
        on_ready(line)
    if ready_fd is not None:
        with os.fdopen(ready_fd, "w") as ready:
            ready.write(json.dumps(line) + "\n")


async def _first(*works: Awaitable[Any]) -> None:
    """Until the first of them is done, with whatever result. Coroutines that are not are cancelled,
    tasks and futures are left alone.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for work, task in zip(works, tasks, strict=True):
        if task is not work:
            task.cancel()


def _exit_code(worker: ServedWorker, enrolment: Enrolment, changes: "asyncio.Task[None]") -> int:
    """0 when told to stop or drained, 1 when what computes has died and the process is of no use any
    more.

    Raises SettingsError when the registry will never have this worker.
    """
    for over in (enrolment.failed, changes):
        if over.done():
            over.result()
    return 1 if worker.failed.is_set() else 0
