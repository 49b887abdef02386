"""A cluster on this machine's word: the gateway here, its workers wherever an orchestrator has them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from baton.cluster.child_process import Command
from baton.cluster.keeper import Keeper, Patience, Ready, Voices
from baton.cluster.orchestrator import Orchestrator, RunWorker
from baton.cluster.reserved_port import reserved_port
from baton.core.address import join_address
from baton.core.errors import BatonError


class GatewayPlan(Protocol):
    """Says how the gateway is started."""

    @property
    def port(self) -> int:
        """Of the gateway, 0 for a free one."""
        ...

    @property
    def registry_host(self) -> str:
        """An address of this machine that workers reach."""
        ...

    def welcome(self, url: str, metrics: str = "") -> list[str]:
        """Lines for whoever has started the cluster, once it is ready at `url`. `metrics`: URL of
        what scrapes it, if anything does.
        """
        ...

    def gateway(self, port: int, registry_port: int) -> Command: ...


class Scraper(Protocol):
    """Reads the metrics pages of all processes."""

    def gateway(self, url: str) -> None:
        """Where the gateway is from now on."""
        ...

    async def until_ready(self) -> str:
        """The URL at which it is asked."""
        ...

    async def run(self, workers: Callable[[], Sequence[RunWorker]]) -> None:
        """Until cancelled. Raises GaveUpError when it cannot start."""
        ...


# Follows the cluster at that URL, once it is ready, until cancelled.
Attend = Callable[[Orchestrator, str], Awaitable[None]]


class Supervisor:
    """`run()` starts the cluster and keeps it alive until cancelled; then all of it is gone. A
    worker that was drained leaves for good; the gateway does not, for nobody would be reached.

    Gateway and workers start at the same time: where workers register is known before anybody
    listens there. They stop one after the other: workers serve until the gateway has seen its
    requests through. `hurry`, once set, turns the orderly stop into a kill.
    """

    def __init__(
        self,
        plan: GatewayPlan,
        orchestrator: Orchestrator,
        voices: Voices,
        hurry: asyncio.Event,
        patience: Patience,
        scraper: Scraper | None = None,
        attend: Attend | None = None,
    ) -> None:
        self._plan = plan
        self._orchestrator = orchestrator
        self._voices = voices
        self._hurry = hurry
        self._patience = patience
        self._scraper = scraper
        self._attend = attend
        self._port = plan.port  # kept over the gateway's restarts, for clients come back
        self._url = ""

    async def run(self) -> None:
        """Returns never. Raises GaveUpError when a process cannot start."""
        host = self._plan.registry_host
        with reserved_port(host) as registry_port:
            gateway = self._gateway_keeper(registry_port)
            registry = join_address(host, registry_port)
            running = [
                asyncio.create_task(gateway.run(), name="gateway"),
                asyncio.create_task(self._orchestrator.run(registry), name="workers"),
            ]
            if self._scraper is not None:
                scraping = self._scraper.run(self._orchestrator.workers)
                running.append(asyncio.create_task(scraping, name="scraper"))
            inviting = asyncio.create_task(self._invite(gateway))
            try:
                await _until_failure([*running, inviting])
            finally:
                for task in (inviting, *running):
                    await _end(task)

    async def _invite(self, gateway: Keeper) -> None:
        await gateway.ready.wait()
        await self._orchestrator.until_ready()
        metrics = "" if self._scraper is None else await self._scraper.until_ready()
        for line in self._plan.welcome(self._url, metrics):
            self._voices.say(line)
        if self._attend is not None:
            await self._attend(self._orchestrator, self._url)

    def _gateway_keeper(self, registry_port: int) -> Keeper:
        def command() -> Command:
            return self._plan.gateway(self._port, registry_port)

        def on_ready(ready: Ready) -> None:
            self._url = ready.line["url"]
            self._port = port_of(self._url)
            if self._scraper is not None:
                self._scraper.gateway(self._url)
            self._voices.say(f"gateway ready at {self._url} ({ready.seconds:.1f} s)")

        return Keeper("gateway", command, on_ready, self._voices, self._hurry, self._patience)


def port_of(url: str) -> int:
    """0 for unix:PATH, which has none."""
    if url.startswith("unix:"):
        return 0
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} names no port")
    return port


async def _until_failure(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """Raises what the first of them raises; of several, the one with a reason to be told."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    failures = [error for task in done if (error := task.exception()) is not None]
    raise next((error for error in failures if isinstance(error, BatonError)), failures[0])


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
