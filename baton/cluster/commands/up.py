"""`baton up`: a whole cluster on this machine."""

import asyncio
import os
import secrets
import socket
import sys
from contextlib import nullcontext

import click

from baton.cluster.cluster_access import ClusterAccess
from baton.cluster.demo_model import FOLDER, NAME
from baton.cluster.keeper import GaveUpError, Patience, Voices
from baton.cluster.launch import Launch
from baton.cluster.launch_plan import LaunchPlan
from baton.cluster.orchestrator import Orchestrator
from baton.cluster.process_orchestrator import ProcessOrchestrator
from baton.cluster.prometheus.local_prometheus import HOST, LocalPrometheus, program
from baton.cluster.ray.environment import prepare
from baton.cluster.supervisor import Attend
from baton.cluster.up_settings import UpSettings
from baton.core.address import join_address
from baton.core.errors import SettingsError
from baton.core.interrupts import Interrupts
from baton.engine.loading.model_check import check_model, model_reads_images
from baton.engine.machine.core_board import shared_page
from baton.engine.machine.host_cores import available_cores
from baton.engine.machine.visible_gpus import visible_gpus
from baton.settings import SettingsCommand, options

_TO_END = 10.0  # seconds that a process gets beyond what its requests get


@click.command("up", cls=SettingsCommand)
@options(UpSettings)
def up(settings: UpSettings) -> None:
    """Start a gateway and workers here; Ctrl-C stops all of them."""
    try:
        settings = settings.with_first()
        settings.check_models()
        if not settings.gateway.uds:
            check_free(settings.gateway.host, settings.gateway.port, "--host and --port")
        if settings.with_prometheus:
            check_free(HOST, settings.prometheus_port, "--prometheus-port")
        if settings.model:  # here, where an interrupt ends a download
            settings = settings.located(_voices.say)
        sys.exit(asyncio.run(_until_interrupted(settings)))
    except KeyboardInterrupt:  # before the event loop listened: nothing was started yet
        sys.exit(0)


async def _until_interrupted(settings: UpSettings) -> int:
    """The exit code: 0 when told to stop. Raises SettingsError."""
    interrupts = Interrupts()
    interrupts.listen()
    cluster = asyncio.create_task(_run(settings, interrupts.hurry))
    told = asyncio.create_task(interrupts.stop.wait())
    await asyncio.wait({cluster, told}, return_when=asyncio.FIRST_COMPLETED)
    if told.done():
        _voices.say("stopping")
        cluster.cancel()
    told.cancel()
    await asyncio.wait({cluster})
    if interrupts.stop.is_set():
        _voices.say("stopped")
        return 0
    try:
        await cluster
    except GaveUpError as error:
        for line in error.last_words:
            click.echo(f"  {line}", err=True)
        click.echo(f"Error: {error}; its last lines are above", err=True)
    return 1


async def _run(settings: UpSettings, hurry: asyncio.Event) -> None:
    if not settings.model:
        _voices.say(f"no --model given: serving {NAME}, the toy that comes with Baton")
        settings = settings.serving(str(FOLDER), NAME)
    _check_fit(settings)
    patience = Patience(settings.start_seconds, settings.shutdown_seconds + _TO_END)
    with shared_page() if settings.lend_cores else nullcontext("") as core_board:
        plan = LaunchPlan(
            settings=settings,
            secret=settings.cluster_secret or secrets.token_hex(16),
            environ=dict(os.environ),  # as it is now: what is set later is for this process
            cores=available_cores(),
            log_format=_log_format(settings.log_format),
            core_board=core_board,
            gpus=visible_gpus(os.environ),
        )
        access = ClusterAccess(plan.secret, settings.worker.cluster_tls)
        launch = Launch(
            plan,
            _voices,
            hurry,
            patience,
            lambda address: _tell_to_drain(address, access),
            _scraper(settings, hurry, patience),
            _attend(settings, access),
        )
        await (_in_ray if settings.orchestrator == "ray" else _in_processes)(launch)


def _attend(settings: UpSettings, access: ClusterAccess) -> Attend | None:
    if not settings.planning.is_on:
        return None

    async def attend(orchestrator: Orchestrator, url: str) -> None:
        from baton.cluster.planner.attending import driver_of  # nobody else needs to wait for it

        await driver_of(settings, orchestrator, url, access, _voices.say).run()

    return attend


def _scraper(
    settings: UpSettings, hurry: asyncio.Event, patience: Patience
) -> LocalPrometheus | None:
    """Raises SettingsError where it is asked for and not installed."""
    if not settings.with_prometheus:
        return None
    return LocalPrometheus(program(), settings.prometheus_port, _voices, hurry, patience)


def _check_fit(settings: UpSettings) -> None:
    """Raises SettingsError. Of other machines only they can say."""
    if settings.joins_ray:
        return
    taken = 0
    for pool in settings.pools:
        model = pool.worker.model
        taken += check_model(model, pool.worker.engine, pool.num_engines, taken)
        if pool.encode_workers and not model_reads_images(model):
            raise SettingsError(
                f"--encode-workers {pool.encode_workers}: {model} reads no images, so there is nothing "
                "to encode"
            )


async def _in_processes(launch: Launch) -> None:
    workers = ProcessOrchestrator(
        launch.plan, launch.voices, launch.hurry, launch.patience, launch.tell_to_drain
    )
    await launch.run(workers)


async def _in_ray(launch: Launch) -> None:
    prepare(own=not launch.plan.settings.joins_ray)
    from baton.cluster.ray.cluster import run_in_ray  # imports Ray, which may not be there

    await run_in_ray(launch)


async def _tell_to_drain(address: str, access: ClusterAccess) -> None:
    """Raises UnavailableError. Whoever never makes his cluster smaller need not wait for gRPC."""
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"  # its handlers disturb starting processes
    from baton.cluster.told_worker import tell_to_drain

    await tell_to_drain(address, access)


def check_free(host: str, port: int, flags: str) -> None:
    """Raises SettingsError when nobody could listen there; `flags` choose another place."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {join_address(host, port)} ({error.strerror}); choose with {flags}"
        ) from error


def _log_format(wanted: str) -> str:
    """The children write into a pipe, so the terminal must be asked for here."""
    if wanted != "auto":
        return wanted
    return "text" if sys.stderr.isatty() else "json"


_voices = Voices(say=click.echo, forward=lambda line: click.echo(line, err=True))
