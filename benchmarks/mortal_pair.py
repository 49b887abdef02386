"""A gateway, a prefill and a decode worker, each of which can be frozen, killed and started again.

Started one by one and not by `baton up`, which waits ever longer before it starts one again that
dies again and again.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from baton.cluster.http_stream import ServerError, request
from benchmarks.processes import free_port

GATEWAY, PREFILL, DECODE = "gateway", "prefill", "decode"
MODULES = {GATEWAY: "gateway", PREFILL: "prefill_worker", DECODE: "decode_worker"}
READY = 60.0  # seconds, for one process or for all


class MortalPair:
    def __init__(self, model: Path, flags: Sequence[str]) -> None:
        port, registry = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        place = [f"--port={port}", f"--registry-port={registry}"]
        joins = [f"--registry=127.0.0.1:{registry}", *flags]
        self._words = {
            GATEWAY: [f"--model={model}", *place],
            **{n: [f"--model={model}", f"--worker-id={n}", *joins] for n in (PREFILL, DECODE)},
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.pages: dict[str, str] = {}  # by worker, once ready

    def start(self, name: str) -> None:
        argv = [sys.executable, "-m", MODULES[name], *self._words[name], "--log-level=error"]
        self._running[name] = subprocess.Popen(argv)

    def freeze(self, name: str) -> None:
        self._running[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._running[name].send_signal(signal.SIGCONT)

    def kill(self, name: str) -> float:
        """kill -9; the moment before it, on `time.monotonic`."""
        died = time.monotonic()
        self._running[name].kill()
        return died

    async def until_gone(self, name: str) -> float:
        """The moment at which the kernel has taken it down, its sockets closed; after `kill`."""
        await asyncio.to_thread(self._running[name].wait)
        return time.monotonic()

    async def until_ready(self) -> None:
        """The gateway has all that run now, and each takes requests. Raises ServerError."""
        wanted = {self._running[name].pid for name in (PREFILL, DECODE)}
        end = time.monotonic() + READY
        while time.monotonic() < end:
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise ServerError(f"{name} ended with {process.returncode}")
            try:
                async with request(f"{self.url}/status") as lines:
                    page = json.loads(b"".join([line async for line in lines]))
            except (OSError, ServerError):
                page = {"workers": []}
            ready = {w["pid"]: w for w in page["workers"] if w["state"] == "ready"}
            if ready.keys() == wanted:
                self.pages = {w["id"]: w["metrics_url"] for w in ready.values()}
                return
            await asyncio.sleep(0.05)
        raise ServerError(f"gateway and workers were not ready after {READY:g} s")

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


@contextmanager
def mortal_pair(model: Path, flags: Sequence[str]) -> Iterator[MortalPair]:
    """Started, not yet ready; nothing of it is left at the end."""
    pair = MortalPair(model, flags)
    try:
        for name in MODULES:
            pair.start(name)
        yield pair
    finally:
        pair.end()
