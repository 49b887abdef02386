"""Engine, sender and receiver of one process, put together. Both roles have all three."""

import asyncio

from baton.core.errors import BatonError
from baton.core.handoff import Handoff
from baton.core.worker_info import WorkerInfo, WorkerLoad, WorkerState
from baton.engine.block_pool import BlockPool, Reservation
from baton.engine.engine import Engine
from baton.engine.work import EventSink, Work
from baton.telemetry.metrics import WorkerReading
from baton.worker.bridge import EngineBridge
from baton.worker.desk import Desk
from baton.worker.load import LoadBoard
from baton.worker.settings import WorkerSettings
from baton.worker.traffic import Traffic
from kv_transfer.puller import Puller
from kv_transfer.pulling import Pulled
from kv_transfer.sending import Sender
from kv_transfer.transports import nixl_agent
from kv_transfer.transports.base import Exporter
from kv_transfer.transports.grpc_export import GrpcExporter
from kv_transfer.transports.nixl_export import NixlExporter
from kv_transfer.transports.shm import ShmExporter
from kv_transfer.transports.tcp_export import TcpExporter


class Worker:
    """Built inside the running loop; `start` before the server, `close` after it has stopped."""

    def __init__(
        self, info: WorkerInfo, engine: Engine, settings: WorkerSettings, max_choices: int | None
    ) -> None:
        self.info = info
        self.board = LoadBoard(self.load)
        self.desk = Desk(max_choices, self.board.touch)
        self.bridge = EngineBridge(engine, asyncio.get_running_loop(), self.board.touch)
        exporters = _exporters(engine, settings, info.address)
        self.served_planes = [e for e in exporters if isinstance(e, GrpcExporter)]
        self.sender = Sender(
            info.instance_id,
            info.fingerprint,
            engine.blocks.total,
            release=self.release,
            exporters=exporters,
        )
        self._puller = Puller(
            info.instance_id,
            engine.pool,
            info.fingerprint,
            secret=settings.cluster_secret,
            transports=settings.kv_transport,
        )
        self._traffic = Traffic()

    @property
    def blocks(self) -> BlockPool:
        return self.bridge.engine.blocks

    @property
    def takes_requests(self) -> bool:
        return self.desk.state is WorkerState.READY and self.bridge.engine.alive

    @property
    def requests(self) -> int:
        """That are here, or that a peer still pulls from."""
        return max(self.desk.requests, self.sender.counts().open_leases)

    @property
    def idle(self) -> bool:
        """Nobody waits for this worker, and nothing of anybody's is in its engine."""
        load = self.bridge.engine.load()
        return not (self.requests or load.running or load.waiting)

    def start(self) -> None:
        """From now on peers can read the pool."""
        self.sender.start()

    async def give_up(self) -> None:
        """Ends all that runs with an error that says why, while its callers can still hear it."""
        self.sender.give_up()
        await self._puller.close()
        await asyncio.to_thread(self.bridge.engine.stop)

    async def close(self) -> None:
        await self._puller.close()
        self.sender.close()

    def release(self, blocks: tuple[int, ...]) -> None:
        self.blocks.release(blocks)
        self.board.touch()

    def submit(self, work: Work, sink: EventSink) -> None:
        """Like the engine's, but blocks that it does not take are given back."""
        try:
            self.bridge.submit(work, sink)
        except BatonError:
            self.release(work.blocks)
            raise

    async def pull(self, handoff: Handoff, reservation: Reservation) -> Pulled:
        """The prompt's blocks, now ours, and its first tokens. Cancelling leaves nothing behind."""
        try:
            pulled = await self._puller.pull(
                handoff, lambda count: self.blocks.allocate(count, reservation), self.release
            )
        except BatonError:
            self._traffic.failed()
            raise
        self._traffic.pulled(pulled)
        return pulled

    def load(self) -> WorkerLoad:
        engine = self.bridge.engine.load()
        return WorkerLoad(
            state=self.desk.state,
            running=engine.running,
            waiting=engine.waiting,
            free_blocks=engine.free_blocks,
            reserved_blocks=engine.reserved_blocks,
            leased_blocks=self.sender.counts().leased_blocks,
            total_blocks=engine.total_blocks,
        )

    def reading(self) -> WorkerReading:
        """For the metrics page, on whichever thread serves it. Readings of the same moment, nearly."""
        load, counts, traffic = self.load(), self.sender.counts(), self._traffic
        engine = self.bridge.engine.load()
        ended = {
            "confirmed": counts.confirmed,
            "aborted": counts.aborted,
            "expired": counts.expired,
            "refused_ticket": counts.refused_tickets,
        }
        return WorkerReading(
            running=load.running,
            waiting=load.waiting,
            kv_usage=load.kv_usage,
            cache_queries=engine.cache_queries,
            cache_hits=engine.cache_hits,
            leases_open=counts.open_leases,
            leased_blocks=counts.leased_blocks,
            reserved_blocks=load.reserved_blocks,
            transfer_bytes=traffic.bytes,
            transfers=traffic.pulls,
            transfer_seconds=traffic.seconds,
            handoffs={**ended, **traffic.results},
        )


def _exporters(engine: Engine, settings: WorkerSettings, address: str) -> list[Exporter]:
    """Best first; `--kv-transport` restricts what this worker offers as well as what it takes.

    NIXL is offered only where it is asked for: the others are faster for memory of the host.
    """
    pool, host = engine.pool, settings.host
    advertise = settings.advertise_host or host
    match settings.kv_transport:
        case nixl_agent.NAME:
            return [NixlExporter(pool, host, advertise)]
        case wanted:
            offers: dict[str, Exporter] = {
                "shm": ShmExporter(pool),
                "tcp": TcpExporter(pool, host, advertise=advertise),
                "grpc": GrpcExporter(pool, address),
            }
            return [offer for name, offer in offers.items() if wanted in ("auto", name)]
