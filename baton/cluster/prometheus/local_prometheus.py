"""Prometheus as a process beside a cluster: it scrapes all of it, and ends with it."""

import asyncio
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from baton.cluster.child_process import ChildProcess, Command
from baton.cluster.keeper import GaveUpError, Patience, Voices
from baton.cluster.orchestrator import RunWorker
from baton.cluster.prometheus.configuration import configuration
from baton.cluster.prometheus.scraped import Scraped
from baton.cluster.reserved_port import reserved_port
from baton.core.address import join_address
from baton.core.errors import SettingsError

HOST = "127.0.0.1"
_READY = "Server is ready to receive web requests"
_TROUBLE = re.compile(r"level=(warn|error)", re.IGNORECASE)
_ORDERLY_END = "exiting gracefully"  # which it warns of
_LAST_WORDS = 20  # lines


def program() -> str:
    """Its path. Raises SettingsError where it is not installed."""
    path = shutil.which("prometheus")
    if path is None:
        raise SettingsError(
            "--with-prometheus: there is no prometheus on this machine; install the package prometheus"
        )
    return path


class LocalPrometheus:
    """`run()` keeps it until cancelled; what it has stored is gone then. It is told where the gateway
    is, and looks by itself at where the workers are.
    """

    def __init__(
        self, path: str, port: int, voices: Voices, hurry: asyncio.Event, patience: Patience
    ) -> None:
        """`port` 0 takes a free one."""
        self._path = path
        self._port = port
        self._voices = voices
        self._hurry = hurry
        self._patience = patience
        self._gateway = ""
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._url = ""
        self._ready = asyncio.Event()

    def gateway(self, url: str) -> None:
        """Where the gateway is from now on."""
        self._gateway = url

    async def until_ready(self) -> str:
        """Its URL."""
        await self._ready.wait()
        return self._url

    async def run(self, workers: Callable[[], Sequence[RunWorker]]) -> None:
        """Returns never. Raises GaveUpError when it cannot start."""
        with TemporaryDirectory(prefix="baton-prometheus-") as name, _port(self._port) as port:
            folder = Path(name)
            (folder / "prometheus.yml").write_text(configuration(), "utf-8")
            scraped = Scraped(folder).follow(lambda: self._gateway, workers)
            following = asyncio.create_task(scraped, name="targets")
            try:
                await self._live(folder, join_address(HOST, port))
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _live(self, folder: Path, address: str) -> None:
        self._url = f"http://{address}"
        child = ChildProcess.start(_command(self._path, folder, address), self._hear)
        try:
            await self._started(child)
            ended = await child.wait()
            # Those who are served need not suffer for it.
            self._voices.say(f"prometheus has ended ({ended}); the cluster goes on, unwatched")
            await asyncio.Event().wait()
        finally:
            await child.stop(self._patience.to_stop, self._hurry)

    async def _started(self, child: ChildProcess) -> None:
        waits = {asyncio.create_task(one) for one in (self._ready.wait(), child.wait())}
        try:
            await asyncio.wait(
                waits, timeout=self._patience.to_start, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
        if not self._ready.is_set():
            raise GaveUpError("prometheus did not become ready", tuple(self._last_words))

    def _hear(self, line: str) -> None:
        self._last_words.append(line)
        if _READY in line:
            self._ready.set()
        if _TROUBLE.search(line) and _ORDERLY_END not in line:
            self._voices.forward(line)


@contextmanager
def _port(wanted: int) -> Iterator[int]:
    if wanted:
        yield wanted
        return
    with reserved_port(HOST) as port:
        yield port


def _command(path: str, folder: Path, address: str) -> Command:
    words = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    )
    return Command((path, *words), os.environ, announces=False)
