"""A gateway and workers as processes of their own, without `baton up`, so that one may be special."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.streaming_client import ServerError

_START = 120.0  # seconds
_STOP = 30.0


@contextmanager
def gateway_and(
    model: Path,
    workers: Sequence[str],
    flags: Sequence[str],
    threads: int,
    env: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The address, once it is healthy with every worker. `workers` are modules, started with `flags`."""
    port, registry = _free_port(), _free_port()
    environ = {**os.environ, "OMP_NUM_THREADS": str(threads), **(env or {})}
    place = [f"--port={port}", f"--registry-port={registry}", f"--shutdown-seconds={_STOP}"]
    commands = [["gateway", f"--model={model}", *place]]
    told = [f"--model={model}", f"--registry=127.0.0.1:{registry}", f"--threads={threads}", *flags]
    commands += [
        [module, f"--worker-id={index}-{module}", *told] for index, module in enumerate(workers)
    ]
    with subprocess_all(commands, environ) as running:
        url = f"http://127.0.0.1:{port}"
        _until_members(url, len(workers), running)
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


def _until_members(url: str, count: int, running: Sequence["subprocess.Popen[bytes]"]) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _START
    while time.monotonic() < end:
        if any(process.poll() is not None for process in running):
            raise ServerError("a process ended before the cluster was ready")
        try:
            with direct.open(f"{url}/status", timeout=5) as answer:
                if answer.read().count(b'"metrics_url"') == count:
                    return
        except OSError:
            pass  # not yet
        time.sleep(0.1)
    raise ServerError(f"the cluster was not ready after {_START:g} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
