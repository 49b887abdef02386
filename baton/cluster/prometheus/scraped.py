"""The files of targets, kept as the cluster is."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from baton.cluster.orchestrator import RunWorker
from baton.cluster.prometheus.configuration import GATEWAY_FILE, WORKERS_FILE
from baton.cluster.prometheus.targets import gateway_targets, worker_pages, worker_targets

_LOOK = 1.0  # seconds between two looks at who is there


class Scraped:
    """In a folder of the Prometheus that reads it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pages: dict[str, str] = {}
        self._written: dict[str, str] = {}

    def look(self, gateway: str, workers: Sequence[RunWorker]) -> None:
        self._pages = worker_pages(self._pages, workers)
        self._write(GATEWAY_FILE, gateway_targets(gateway))
        self._write(WORKERS_FILE, worker_targets(self._pages))

    async def follow(
        self, gateway: Callable[[], str], workers: Callable[[], Sequence[RunWorker]]
    ) -> None:
        """Until cancelled."""
        while True:
            self.look(gateway(), workers())
            await asyncio.sleep(_LOOK)

    def _write(self, name: str, text: str) -> None:
        """In one step, so that nobody reads half of it."""
        if self._written.get(name) != text:
            draft = self._folder / f".{name}"
            draft.write_text(text, "utf-8")
            draft.rename(self._folder / name)
            self._written[name] = text
