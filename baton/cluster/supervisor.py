"""A cluster of plain processes on this machine: the gateway first, then all workers at once."""

import asyncio
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from baton.cluster.child_process import Command
from baton.cluster.keeper import Keeper, Patience, Ready, Voices
from baton.core.errors import BatonError
from baton.core.worker_info import Role


@dataclass(frozen=True, slots=True)
class GatewayPlace:
    """Where the gateway listens. Kept over its restarts, for clients and workers come back."""

    port: int
    registry_port: int = 0
    url: str = ""
    registry: str = ""  # host:port


class Plan(Protocol):
    """Names the processes and says how each is started."""

    @property
    def port(self) -> int:
        """Of the gateway, 0 for a free one."""
        ...

    @property
    def served_name(self) -> str: ...

    def gateway(self, port: int, registry_port: int) -> Command: ...

    def workers(self) -> list[tuple[str, Role]]: ...

    def worker(self, worker_id: str, role: Role, registry: str) -> Command: ...


class Supervisor:
    """`run()` starts the cluster and keeps it alive until cancelled; then all of it is gone.

    `hurry`, once set, turns the orderly stop into a kill.
    """

    def __init__(
        self, plan: Plan, voices: Voices, hurry: asyncio.Event, patience: Patience
    ) -> None:
        self._plan = plan
        self._voices = voices
        self._hurry = hurry
        self._patience = patience
        self._gateway = GatewayPlace(plan.port)

    async def run(self) -> None:
        """Returns never. Raises GaveUpError when a process cannot start."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._start(group)
                for line in welcome(self._gateway.url, self._plan.served_name):
                    self._voices.say(line)
        except ExceptionGroup as failures:
            raise _first(failures) from None

    async def _start(self, group: asyncio.TaskGroup) -> None:
        gateway = self._keeper("gateway", self._gateway_command, self._gateway_ready)
        group.create_task(gateway.run())
        await gateway.ready.wait()
        workers = [self._worker_keeper(name, role) for name, role in self._plan.workers()]
        for worker in workers:
            group.create_task(worker.run())
        for worker in workers:
            await worker.ready.wait()

    def _worker_keeper(self, name: str, role: Role) -> Keeper:
        def command() -> Command:
            return self._plan.worker(name, role, self._gateway.registry)

        def on_ready(ready: Ready) -> None:
            address, metrics = ready.line["address"], ready.line["metrics_url"]
            self._voices.say(
                f"{name} ready: pid {ready.pid}, {address}, {metrics} ({ready.seconds:.1f} s)"
            )

        return self._keeper(name, command, on_ready)

    def _keeper(
        self, name: str, command: Callable[[], Command], on_ready: Callable[[Ready], None]
    ) -> Keeper:
        return Keeper(name, command, on_ready, self._voices, self._hurry, self._patience)

    def _gateway_command(self) -> Command:
        return self._plan.gateway(self._gateway.port, self._gateway.registry_port)

    def _gateway_ready(self, ready: Ready) -> None:
        self._gateway = place_of(ready.line["url"], ready.line["registry"])
        self._voices.say(f"gateway ready at {self._gateway.url} ({ready.seconds:.1f} s)")


def place_of(url: str, registry: str) -> GatewayPlace:
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} names no port")
    return GatewayPlace(port, int(registry.rpartition(":")[2]), url, registry)


def welcome(url: str, model: str) -> list[str]:
    """What to do with a cluster that has just become ready."""
    messages = [{"role": "user", "content": "Hello"}]
    body = json.dumps({"model": model, "max_tokens": 32, "messages": messages})
    words = ["curl", f"{url}/v1/chat/completions", "-H", "Content-Type: application/json"]
    return [f"endpoint: {url}/v1", "try it:", f"  {shlex.join([*words, '-d', body])}"]


def _first(failures: "ExceptionGroup[Exception]") -> Exception:
    """The reason of the end; the others are its echo."""
    known = failures.subgroup(BatonError)
    first: Exception = known or failures
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first
