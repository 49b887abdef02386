"""A whole cluster of real processes, started as a user starts it and checked to leave nothing."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MARK = "CLUSTER_UNDER_TEST"  # an environment variable that every process of one cluster inherits
UP = ("baton.cluster.entry", "up")
_STOP = 30.0  # seconds


class ClusterError(AssertionError):
    """The cluster did not do what was waited for; its output is in the message."""


class RunningCluster:
    """`baton up` at `url`. `output` is everything it has said so far, stdout and stderr."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str) -> None:
        self.process = process
        self.output: list[str] = []
        self.url = ""
        self.not_ours: set[tuple[str, int]] = set()  # addresses that outlive it
        self.key = ""  # shown to the gateway, if it asks for one
        self._mark = mark
        self._heard = asyncio.Condition()
        self._listener = asyncio.create_task(self._listen())
        self._addresses: set[tuple[str, int]] = set()

    async def until_said(self, start: str, seconds: float, times: int = 1) -> str:
        """The line that begins with `start`, the `times`-th such one. Bounded."""
        try:
            async with asyncio.timeout(seconds), self._heard:
                while len(found := [x for x in self.output if x.startswith(start)]) < times:
                    if self._listener.done():
                        raise self._failure(f"it ended before it said {start!r}")
                    await self._heard.wait()
                return found[times - 1]
        except TimeoutError:
            raise self._failure(f"it did not say {start!r} in {seconds:g} s") from None

    async def status(self) -> dict[str, Any]:
        """GET /status, parsed."""
        status = json.loads(await asyncio.to_thread(_get, f"{self.url}/status", self.key))
        assert isinstance(status, dict)
        for worker in status["workers"]:
            metrics = urlsplit(worker["metrics_url"])
            self._addresses.add(_host_and_port(worker["address"]))
            self._addresses.add((str(metrics.hostname), int(metrics.port or 80)))
        return status

    async def pids(self) -> dict[str, int]:
        """Of the workers that are members now, by worker id."""
        return {worker["id"]: worker["pid"] for worker in (await self.status())["workers"]}

    async def kill(self, worker_id: str) -> int:
        """SIGKILL to a worker; its pid. Returns once the process has ended."""
        return await _kill((await self.pids())[worker_id])

    async def terminate(self, worker_id: str) -> int:
        """SIGTERM to a worker; its pid. Returns at once: it may have requests to finish."""
        pid = (await self.pids())[worker_id]
        os.kill(pid, signal.SIGTERM)
        return pid

    async def kill_gateway(self) -> int:
        """SIGKILL to the gateway; its pid. Returns once the process has ended."""
        return await _kill(await self.gateway_pid())

    async def gateway_pid(self) -> int:
        """While every worker is a member."""
        workers = await self.pids()
        (gateway,) = set(self.processes()) - set(workers.values()) - {self.process.pid}
        return gateway

    async def until_restarted(self, worker_id: str, life: int = 2, seconds: float = 60) -> None:
        """Until the worker's `life`-th process has become ready (and so has joined)."""
        await self.until_said(f"{worker_id} ready: ", seconds, life)

    def processes(self) -> list[int]:
        """Pids of `baton up` and all that descend from it, whoever is their parent by now."""
        return _marked(self._mark)

    async def begin(self, seconds: float) -> None:
        """Waits until the cluster answers; called once."""
        line = await self.until_said("endpoint: ", seconds)
        self.url = line.removeprefix("endpoint: ").removesuffix("/v1")
        self._addresses.add(_host_and_port(urlsplit(self.url).netloc))
        await self.until_healthy()
        await self.status()

    async def until_healthy(self, seconds: float = 30) -> None:
        """GET /health is 200."""
        await self._until("healthy", lambda: _is_healthy(self.url), seconds)

    async def until_members(self, *worker_ids: str, seconds: float = 30) -> dict[str, int]:
        """Exactly these workers are members; their pids."""
        seen: dict[str, int] = {}

        def are_members() -> bool:
            seen.clear()
            workers = json.loads(_get(f"{self.url}/status", self.key))["workers"]
            seen.update({worker["id"]: worker["pid"] for worker in workers})
            return set(seen) == set(worker_ids)

        await self._until(f"down to members {worker_ids}", are_members, seconds)
        return seen

    async def _until(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        """Asks the gateway again and again, for it tells nobody by itself."""
        try:
            async with asyncio.timeout(seconds):
                while not await asyncio.to_thread(holds):  # noqa: ASYNC110 there is no event
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise self._failure(f"it was not {what} after {seconds:g} s") from None

    async def end(self) -> None:
        """Ctrl-C, then all that must hold after it."""
        self.process.send_signal(signal.SIGINT)
        code = await self.exit_code()
        if left := self.processes():
            raise self._failure(f"processes {left} are left after Ctrl-C")
        if code != 0:
            raise self._failure(f"exit code {code} after Ctrl-C")
        if any("Traceback (most recent call last)" in line for line in self.output):
            raise self._failure("a traceback was printed")
        listening = [address for address in self._addresses - self.not_ours if _answers(address)]
        if listening:
            raise self._failure(f"somebody still listens on {listening}")

    async def exit_code(self) -> int:
        """Once it has ended and all of its output was heard. Bounded."""
        try:
            async with asyncio.timeout(_STOP):
                code = await self.process.wait()
                await asyncio.shield(self._listener)
                return code
        except TimeoutError:
            raise self._failure(f"it had not ended after {_STOP:g} s") from None

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._heard:
                self.output.append(line.decode(errors="replace").rstrip("\n"))
                self._heard.notify_all()
        async with self._heard:
            self._heard.notify_all()

    def _failure(self, what: str) -> ClusterError:
        return ClusterError("\n".join([f"baton up: {what}; its output:", *self.output]))


@contextlib.asynccontextmanager
async def baton_up(
    *words: str,
    program: tuple[str, ...] = UP,
    prefix: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[RunningCluster]:
    """`baton up` with these words, from its start on; whatever is left of it is killed.

    `prefix`: words of a program that becomes it, such as nsenter.
    """
    mark = secrets.token_hex(8)
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", *program, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        limit=1 << 24,
        env={**os.environ, **(env or {}), MARK: mark},
        start_new_session=True,
    )
    cluster = RunningCluster(process, mark)
    try:
        yield cluster
    finally:
        for pid in cluster.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await cluster.exit_code()


@contextlib.asynccontextmanager
async def running_cluster(
    model_dir: Path,
    prefill_workers: int = 1,
    decode_workers: int = 1,
    start_seconds: float = 120,
    program: tuple[str, ...] = UP,
    meet: Callable[[RunningCluster], None] = lambda _: None,
    **flags: Any,
) -> AsyncIterator[RunningCluster]:
    """A ready cluster on a free port; `max_num_seqs=4` becomes `--max-num-seqs=4`.

    `meet` sees it before anything of it is ready. True and False become `--flag` and `--no-flag`; a tuple is the flag once for each value (of
    `api_key`, the first is the one that the cluster itself shows).

    At the end: Ctrl-C, exit code 0, no traceback, and no process, port or shared memory is left.
    """
    shared_memory = _shared_memory()
    words = {"model": model_dir, "port": 0} | {
        "prefill_workers": prefill_workers,
        "decode_workers": decode_workers,
        **flags,
    }
    spelled = [word for name, value in words.items() for word in _spelled(name, value)]
    async with baton_up(*spelled, program=program) as cluster:
        keys = flags.get("api_key", ())
        meet(cluster)
        cluster.key = keys[0] if isinstance(keys, tuple) and keys else ""
        await cluster.begin(start_seconds)
        yield cluster
        await cluster.end()
    if new := _shared_memory() - shared_memory:
        raise ClusterError(f"shared memory is left: {sorted(new)}")


def _spelled(name: str, value: object) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{flag}={one}" for one in values]


def _get(url: str, key: str = "") -> bytes:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    with direct.open(request, timeout=10) as response:
        body = response.read()
        assert isinstance(body, bytes)
        return body


def _is_healthy(url: str) -> bool:
    try:
        _get(f"{url}/health")
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:  # there is no gateway now, or it died while it answered
        return False
    return True


async def _kill(pid: int) -> int:
    pidfd = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        async with asyncio.timeout(10):
            await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return pid


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


def _marked(mark: str) -> list[int]:
    """Processes that inherited the mark, whoever is their parent by now."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked, or is another user's
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def _shared_memory() -> set[str]:
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
