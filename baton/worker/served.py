"""What a worker's process serves, whatever it computes: a whole model, or a vision tower alone."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import grpc
from prometheus_client.registry import Collector

from baton.core.fingerprint import Fingerprint
from baton.core.kv_events import KvChange
from baton.core.worker_info import WorkerInfo
from baton.worker.desk import Desk
from baton.worker.flips import Flips
from baton.worker.load import LoadBoard
from baton.worker.settings import WorkerSettings
from kv_transfer.sending import Sender
from kv_transfer.transports.grpc_export import GrpcExporter

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer


class ServedWorker(Protocol):
    """Built inside the running loop; `start` before the server, `close` after it has stopped."""

    info: WorkerInfo
    board: LoadBoard
    desk: Desk
    sender: Sender
    flips: Flips
    served_planes: list[GrpcExporter]

    @property
    def alive(self) -> bool:
        """Whether what computes still does."""
        ...

    @property
    def failed(self) -> asyncio.Event:
        """Set when it does not any more."""
        ...

    @property
    def takes_requests(self) -> bool: ...

    @property
    def requests(self) -> int:
        """That are here, or that a peer still pulls from."""
        ...

    @property
    def idle(self) -> bool:
        """Nobody waits for this worker, and nothing of anybody's is in it."""
        ...

    async def until_drained(self) -> None:
        """It was told to leave, and has nothing left."""
        ...

    def turn(self) -> WorkerInfo:
        """Begins the role that it was emptied for, as another instance."""
        ...

    def kv_change(self, after: int | None) -> KvChange:
        """What its prefix cache gained and lost, see `BlockPool`."""
        ...

    def collector(self, model_name: str) -> Collector:
        """Of its numbers, for the metrics page."""
        ...

    def start(self) -> None: ...

    async def give_up(self) -> None:
        """Ends all that runs with an error that says why, while its callers can still hear it."""
        ...

    async def close(self) -> None: ...


class Loaded(Protocol):
    """What computes, loaded. `start` and `stop` while the loop runs that its events go to; `close`
    comes last.
    """

    @property
    def fingerprint(self) -> Fingerprint: ...

    @property
    def num_blocks(self) -> int: ...

    @property
    def max_model_len(self) -> int: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...

    def serve(
        self,
        info: WorkerInfo,
        settings: WorkerSettings,
        server: grpc.aio.Server,
        tracer: "Tracer | None",
    ) -> ServedWorker:
        """The worker, whose role's service the server has now."""
        ...


Load = Callable[[str, WorkerSettings], Loaded]  # from a folder; raises SettingsError
