"""Clusters to measure: by `baton up`, or a gateway and workers one by one, so that one may be special."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from baton.cluster.http_stream import ServerError
from baton.cluster.model_presets import make_model

PAIRS = ("--placement-policy=prefix_aware",)  # what is measured here is mostly the hand-off
_START = 120.0  # seconds
_STOP = 30.0


def of_a_cluster(least_input: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a benchmark that starts a cluster and sends it prompts of one length."""
    options = [
        click.option(
            "--model",
            type=click.Path(exists=True, path_type=Path),
            help="Its folder; left out: a tiny random one is made.",
        ),
        click.option("--prefill-workers", default=1, show_default=True, type=click.IntRange(0)),
        click.option("--decode-workers", default=1, show_default=True, type=click.IntRange(1)),
        click.option(
            "--input-len",
            default=2000,
            show_default=True,
            type=click.IntRange(least_input),
            help="Tokens",
        ),
        click.option("--rounds", default=10, show_default=True, type=click.IntRange(1)),
        click.option(
            "--token-ids",
            nargs=2,
            type=int,
            default=(300, 4000),
            show_default=True,
            help="Prompts draw from LOW up to HIGH.",
        ),
        click.option("--seed", type=int, help="Of the prompts; drawn and printed if left out."),
    ]

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


@contextmanager
def folder_of(model: Path | None) -> Iterator[Path]:
    if model is not None:
        yield model
        return
    with TemporaryDirectory() as scratch:  # the demo model has too few tokens and positions
        make_model("tiny", Path(scratch) / "tiny", click.echo)
        yield Path(scratch) / "tiny"


@contextmanager
def cluster(words: list[str]) -> Iterator[str]:
    """The address of a `baton up` that is ready; ended by Ctrl-C. Raises ServerError."""
    argv = [sys.executable, "-m", "baton.cluster.entry", "up", "--port=0", *PAIRS, *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as up:
        try:
            yield _endpoint(up).removesuffix("/v1")
        finally:
            up.send_signal(signal.SIGINT)
            up.communicate()


def _endpoint(up: "subprocess.Popen[str]") -> str:
    said: list[str] = []
    assert up.stdout is not None
    for line in up.stdout:
        said.append(line)
        if line.startswith("endpoint: "):
            return line.split()[1]
    raise ServerError(f"baton up ended before it was ready:\n{''.join(said)}")


@contextmanager
def gateway_and(
    model: Path,
    workers: Sequence[str],
    flags: Sequence[str],
    threads: int,
    env: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The address, once it is healthy with every worker. `workers` are modules, started with `flags`."""
    port, registry = free_port(), free_port()
    environ = {**os.environ, "OMP_NUM_THREADS": str(threads), **(env or {})}
    place = [f"--port={port}", f"--registry-port={registry}", f"--shutdown-seconds={_STOP}"]
    commands = [["gateway", f"--model={model}", *PAIRS, *place]]
    told = [f"--model={model}", f"--registry=127.0.0.1:{registry}", f"--threads={threads}", *flags]
    commands += [
        [module, f"--worker-id={index}-{module}", *told] for index, module in enumerate(workers)
    ]
    with subprocess_all(commands, environ) as running:
        url = f"http://127.0.0.1:{port}"
        until_members(url, len(workers), running)
        yield url


@contextmanager
def subprocess_all(
    commands: Sequence[Sequence[str]], environ: Mapping[str, str]
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """`python -m` each; SIGINT to all at the end, then a bounded wait."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            argv = [sys.executable, "-m", *command, "--log-level=warning"]
            running.append(subprocess.Popen(argv, env=environ))
        yield running
    finally:
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until_members(
    url: str, count: int, running: Sequence["subprocess.Popen[bytes]"], key: str = ""
) -> None:
    """Returns once the gateway is in touch with so many workers. Raises ServerError."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(f"{url}/status", headers={"Authorization": f"Bearer {key}"})
    end = time.monotonic() + _START
    while time.monotonic() < end:
        if any(process.poll() is not None for process in running):
            raise ServerError("a process ended before the cluster was ready")
        try:
            with direct.open(asked, timeout=5) as answer:
                if answer.read().count(b'"metrics_url"') == count:
                    return
        except OSError:
            pass  # not yet
        time.sleep(0.1)
    raise ServerError(f"the cluster was not ready after {_START:g} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
