"""A cluster of plain processes on this machine: one gateway and its workers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from baton.cluster.child_process import Command
from baton.cluster.keeper import Keeper, Patience, Ready, Voices
from baton.cluster.reserved_port import reserved_port
from baton.core.address import join_address
from baton.core.errors import BatonError
from baton.core.worker_info import Role

REGISTRY_HOST = "127.0.0.1"  # as the gateway has it by default; all are on this machine


class Plan(Protocol):
    """Names the processes and says how each is started."""

    @property
    def port(self) -> int:
        """Of the gateway, 0 for a free one."""
        ...

    def welcome(self, url: str) -> list[str]:
        """Lines for whoever has started the cluster, once it is ready at `url`."""
        ...

    def gateway(self, port: int, registry_port: int) -> Command: ...

    def workers(self) -> list[tuple[str, Role]]: ...

    def worker(self, worker_id: str, role: Role, registry: str) -> Command: ...


class Supervisor:
    """`run()` starts the cluster and keeps it alive until cancelled; then all of it is gone. A
    worker that was drained leaves for good; the gateway does not, for nobody would be reached.

    Gateway and workers start at the same time: where workers register is known before anybody
    listens there. They stop one after the other: workers serve until the gateway has seen its
    requests through. `hurry`, once set, turns the orderly stop into a kill.
    """

    def __init__(
        self, plan: Plan, voices: Voices, hurry: asyncio.Event, patience: Patience
    ) -> None:
        self._plan = plan
        self._voices = voices
        self._hurry = hurry
        self._patience = patience
        self._port = plan.port  # kept over the gateway's restarts, for clients come back
        self._url = ""

    async def run(self) -> None:
        """Returns never. Raises GaveUpError when a process cannot start."""
        with reserved_port(REGISTRY_HOST) as registry_port:
            gateway = self._gateway_keeper(registry_port)
            registry = join_address(REGISTRY_HOST, registry_port)
            workers = [
                self._worker_keeper(name, role, registry) for name, role in self._plan.workers()
            ]
            running = [_started(keeper) for keeper in (gateway, *workers)]
            inviting = asyncio.create_task(self._invite([gateway, *workers]))
            try:
                await _until_failure([*running, inviting])
            finally:
                await _end([inviting])
                await _end(running[:1])
                await _end(running[1:])

    async def _invite(self, keepers: list[Keeper]) -> None:
        for keeper in keepers:
            await keeper.ready.wait()
        for line in self._plan.welcome(self._url):
            self._voices.say(line)

    def _gateway_keeper(self, registry_port: int) -> Keeper:
        def command() -> Command:
            return self._plan.gateway(self._port, registry_port)

        def on_ready(ready: Ready) -> None:
            self._url = ready.line["url"]
            self._port = port_of(self._url)
            self._voices.say(f"gateway ready at {self._url} ({ready.seconds:.1f} s)")

        return self._keeper("gateway", command, on_ready)

    def _worker_keeper(self, name: str, role: Role, registry: str) -> Keeper:
        def command() -> Command:
            return self._plan.worker(name, role, registry)

        def on_ready(ready: Ready) -> None:
            address, metrics = ready.line["address"], ready.line["metrics_url"]
            self._voices.say(
                f"{name} ready: pid {ready.pid}, {address}, {metrics} ({ready.seconds:.1f} s)"
            )

        return self._keeper(name, command, on_ready, may_leave=True)

    def _keeper(
        self,
        name: str,
        command: Callable[[], Command],
        on_ready: Callable[[Ready], None],
        may_leave: bool = False,
    ) -> Keeper:
        return Keeper(
            *(name, command, on_ready, self._voices, self._hurry, self._patience), may_leave
        )


def port_of(url: str) -> int:
    """0 for unix:PATH, which has none."""
    if url.startswith("unix:"):
        return 0
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} names no port")
    return port


def _started(keeper: Keeper) -> "asyncio.Task[None]":
    return asyncio.create_task(keeper.run())


async def _until_failure(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """Raises what the first of them raises; of several, the one with a reason to be told."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    failures = [error for task in done if (error := task.exception()) is not None]
    raise next((error for error in failures if isinstance(error, BatonError)), failures[0])


async def _end(tasks: "Sequence[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
