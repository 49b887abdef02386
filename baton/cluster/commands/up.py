"""`baton up`: a whole cluster on this machine."""

import asyncio
import os
import secrets
import socket
import sys
from collections import deque
from pathlib import Path

import click

from baton.cluster.child_process import ChildProcess, Command
from baton.cluster.keeper import GaveUpError, Patience, Voices
from baton.cluster.launch_plan import LaunchPlan
from baton.cluster.model_folder import DEFAULT_PRESET, cached_model, is_model
from baton.cluster.supervisor import Supervisor
from baton.cluster.up_settings import UpSettings
from baton.core.address import join_address
from baton.core.errors import SettingsError
from baton.core.interrupts import Interrupts
from baton.engine.build import check_model
from baton.engine.host_cores import available_cores
from baton.settings import SettingsCommand, options

_TO_END = 10.0  # seconds that a process gets beyond what its requests get


@click.command("up", cls=SettingsCommand)
@options(UpSettings)
def up(settings: UpSettings) -> None:
    """Start a gateway and workers here; Ctrl-C stops all of them."""
    try:
        if not settings.gateway.uds:
            check_free(settings.gateway.host, settings.gateway.port)
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
        settings = await _with_default_model(settings, hurry)
    check_model(settings.model, settings.worker.engine, settings.num_workers)
    plan = LaunchPlan(
        settings=settings,
        secret=settings.cluster_secret or secrets.token_hex(16),
        environ=os.environ,
        cores=available_cores(),
        log_format=_log_format(settings.log_format),
    )
    patience = Patience(settings.start_seconds, settings.shutdown_seconds + _TO_END)
    await Supervisor(plan, _voices, hurry, patience).run()


async def _with_default_model(settings: UpSettings, hurry: asyncio.Event) -> UpSettings:
    folder = cached_model(os.environ)
    if is_model(folder):
        _voices.say(f"no --model given: serving the random {DEFAULT_PRESET} model in {folder}")
    else:
        _voices.say(f"no --model given: making a random {DEFAULT_PRESET} model in {folder}")
        await _make_model(folder, hurry)
    return settings.serving(str(folder), DEFAULT_PRESET)


async def _make_model(folder: Path, hurry: asyncio.Event) -> None:
    """In a process of its own: it can be interrupted, and torch's memory goes with it."""
    last_words: deque[str] = deque(maxlen=1)

    def heard(line: str) -> None:
        last_words.append(line)
        _voices.say(f"  {line}")

    words = (sys.executable, "-m", "baton.cluster.cli", "make-model")
    argv = (*words, f"--preset={DEFAULT_PRESET}", str(folder))
    child = ChildProcess.start(Command(argv, os.environ, announces=False), heard)
    try:
        await child.wait()
    finally:
        ended = await child.stop(Patience().to_stop, hurry)
    # Another `baton up` may have made it meanwhile, which fails ours and serves as well.
    if not is_model(folder):
        raise SettingsError(f"could not make the model ({ended}): {''.join(last_words)}")


def check_free(host: str, port: int) -> None:
    """Raises SettingsError when nobody could listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {join_address(host, port)} ({error.strerror}); choose with --host and --port"
        ) from error


def _log_format(wanted: str) -> str:
    """The children write into a pipe, so the terminal must be asked for here."""
    if wanted != "auto":
        return wanted
    return "text" if sys.stderr.isatty() else "json"


_voices = Voices(say=click.echo, forward=lambda line: click.echo(line, err=True))
