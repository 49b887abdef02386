"""How the gateway's own view of its workers reaches modelled ones."""

from collections.abc import AsyncGenerator, Callable

from baton.cluster.simulator.worker import SimulatedWorker
from baton.core.kv_events import KvChange
from baton.core.worker_info import WorkerLoad
from gateway.members.worker_client import WorkerClient


class SimulatedClient(WorkerClient):
    """Requests do not go through it: it only watches."""

    def __init__(self, worker: SimulatedWorker) -> None:
        self._modelled = worker

    async def watch(self, instance_id: str) -> AsyncGenerator[WorkerLoad | KvChange, None]:
        async for news in self._modelled.watch():
            yield news

    def converse(self) -> None:
        """Nothing is told."""

    async def close(self) -> None:
        pass


def connecting(workers: dict[str, SimulatedWorker]) -> Callable[..., WorkerClient]:
    """By address."""
    return lambda address, secret, tls: SimulatedClient(workers[address])
