"""Engine, sender and receiver of one process, put together. Both roles have all three."""

import asyncio
import logging
from collections.abc import Sequence

from baton.core.errors import BatonError, RefusedError
from baton.core.handoff import Handoff, PrefixSource
from baton.core.worker_info import WorkerInfo, WorkerLoad, WorkerState
from baton.engine.block_pool import BlockPool
from baton.engine.engine import Engine
from baton.engine.work import EventSink, Work
from baton.telemetry.metrics import WorkerReading
from baton.worker.backlog import Backlog
from baton.worker.bridge import EngineBridge
from baton.worker.desk import Desk
from baton.worker.load import LoadBoard
from baton.worker.prefix_pulls import PrefixPulls
from baton.worker.room import Room
from baton.worker.rooms import Rooms
from baton.worker.settings import WorkerSettings
from baton.worker.stage import stage_for
from baton.worker.traffic import Traffic
from kv_transfer.memory import Memory
from kv_transfer.puller import Puller
from kv_transfer.pulling import Pulled
from kv_transfer.sender_events import SenderLimits
from kv_transfer.sending import Sender
from kv_transfer.staging import Staging
from kv_transfer.transports import nixl_agent
from kv_transfer.transports.base import Exporter
from kv_transfer.transports.grpc_export import GrpcExporter
from kv_transfer.transports.nixl_export import NixlExporter
from kv_transfer.transports.planes import allowed, exposed
from kv_transfer.transports.shm import ShmExporter
from kv_transfer.transports.tcp_export import TcpExporter

HELD_SHARE = 0.5  # of the pool, in leases that wait for another router's decode worker

logger = logging.getLogger(__name__)


class Worker:
    """Built inside the running loop; `start` before the server, `close` after it has stopped."""

    def __init__(
        self,
        info: WorkerInfo,
        engine: Engine,
        settings: WorkerSettings,
        max_choices: int | None,
        lease_limits: SenderLimits | None = None,
    ) -> None:
        self.info = info
        self.board = LoadBoard(self.load)
        self.desk = Desk(max_choices, self.board.touch)
        self.bridge = EngineBridge(engine, asyncio.get_running_loop(), self.board.touch)
        self._stage = stage_for(engine)
        staging = None if self._stage is None else Staging(self._stage)
        memory = engine.pool if staging is None else staging.memory
        exporters = _exporters(memory, settings, info.address)
        self.served_planes = [e for e in exporters if isinstance(e, GrpcExporter)]
        self.sender = Sender(
            info.instance_id,
            info.fingerprint,
            engine.blocks.total,
            memory,
            release=self.release,
            exporters=exporters,
            limits=lease_limits or SenderLimits(held_blocks=int(engine.blocks.total * HELD_SHARE)),
            lend=self.lend,
            lending=None if staging is None else staging.lending,
        )
        self._puller = Puller(
            info.instance_id,
            memory,
            info.fingerprint,
            secret=settings.cluster_secret,
            transports=settings.kv_transport,
            tls=settings.cluster_tls.identity(),
            checksums=settings.kv_checksums,
            landing=None if staging is None else staging.landing,
        )
        self._prefix_pulls = PrefixPulls(
            self._puller,
            engine.blocks,
            info.fingerprint.layout.block_size,
            short=lambda: engine.load().short_of_blocks,
            changed=self.board.touch,
        )
        self._exposed = exposed(settings.kv_transport, settings.cluster_tls.is_on)
        self._traffic = Traffic()
        self.backlog = Backlog()
        self.rooms = Rooms(self.bridge, self.desk)

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

    async def until_drained(self) -> None:
        """It was told to drain, and has nothing left."""
        await self.board.until(lambda: self.desk.state is WorkerState.DRAINING and self.idle)

    def start(self) -> None:
        """From now on peers can read the pool."""
        if self._exposed is not None:
            logger.warning(self._exposed)
        self.sender.start()

    async def give_up(self) -> None:
        """Ends all that runs with an error that says why, while its callers can still hear it."""
        self.sender.give_up()
        await self._puller.close()
        await asyncio.to_thread(self.bridge.engine.stop)

    async def close(self) -> None:
        await self._puller.close()
        self.sender.close()
        if self._stage is not None:
            self._stage.close()

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

    def lend(self, names: Sequence[bytes]) -> tuple[int, ...]:
        """As many of the first of the named blocks as are cached here, one reference on each.

        Raises RefusedError: none is, this worker drains, or a request that is here lacks blocks.
        """
        if self.desk.state is not WorkerState.READY:
            raise RefusedError("this worker is draining")
        if self.bridge.engine.load().short_of_blocks:
            raise RefusedError("requests that are here already wait for KV blocks")
        blocks = self.blocks.take_cached(names, room=0)
        if not blocks:
            raise RefusedError("nothing of this prefix is cached here")
        self.board.touch()
        return blocks

    async def pull_prefix(self, work: Work, source: PrefixSource) -> Pulled | None:
        """Fills the prefix cache for a work that is about to be submitted; None: nothing came.

        The block with the last token stays out of it: that token is computed here, to draw from.
        """
        most = (work.num_known - 1) // self.info.fingerprint.layout.block_size
        names = self.bridge.engine.prefix_names(work)[:most]
        pulled = await self._prefix_pulls.fetch(names, source)
        if pulled is not None:
            self._traffic.bytes += pulled.bytes
        return pulled

    def publish(self, work: Work, blocks: tuple[int, ...]) -> None:
        """Blocks that were pulled for the work, the references on which are taken: the engine finds
        them in the prefix cache.
        """
        self._prefix_pulls.publish(blocks, work.names)

    async def pull(self, handoff: Handoff, room: Room) -> Pulled:
        """The blocks of what is known, now ours, and its first tokens. Cancelling leaves nothing
        behind. What the room holds of them already does not travel.
        """
        reservation = room.reservation
        try:
            pulled = await self._puller.pull(
                handoff,
                lambda count: self.blocks.allocate(count, reservation),
                self.release,
                room.take_cached(),
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
            unread_tokens=self.backlog.tokens,
            steps=engine.steps,
            room=self.rooms.by(engine),
        )

    def reading(self) -> WorkerReading:
        """For the metrics page, on whichever thread serves it. Readings of the same moment, nearly."""
        load, counts, traffic = self.load(), self.sender.counts(), self._traffic
        engine, pulling = self.bridge.engine.load(), self._puller.counts()
        block_size = self.info.fingerprint.layout.block_size
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
            host_queries=engine.host.queries * block_size,
            host_hits=engine.host.hits * block_size,
            host_blocks_stored=engine.host.stored,
            host_blocks_evicted=engine.host.evicted,
            host_usage=engine.host.usage,
            leases_open=counts.open_leases,
            leased_blocks=counts.leased_blocks,
            reserved_blocks=load.reserved_blocks,
            pulls_open=pulling.pulls,
            pulling_blocks=pulling.blocks,
            transfer_bytes=traffic.bytes,
            repaired_blocks=self._puller.repaired_blocks,
            transfer_seconds=traffic.seconds.reading(),
            exposed_seconds=traffic.exposed.reading(),
            handoffs={**ended, **traffic.results},
            prefix_pulls=self._prefix_pulls.results,
            prefix_tokens=self._prefix_pulls.tokens,
        )


def _exporters(memory: Memory, settings: WorkerSettings, address: str) -> list[Exporter]:
    """Best first; `--kv-transport` restricts what this worker offers as well as what it takes.

    NIXL is offered only where it is asked for: the others are as good for memory of the host.
    """
    host = settings.host
    advertise = settings.advertise_host or host
    wanted, tls = settings.kv_transport, settings.cluster_tls.is_on
    if wanted == nixl_agent.NAME:
        return [NixlExporter(memory, host, advertise)]
    offers: dict[str, Exporter] = {
        "shm": ShmExporter(memory),
        "tcp": TcpExporter(
            memory,
            host,
            settings.kv_port,
            advertise=advertise,
            advertise_port=settings.advertise_kv_port,
        ),
        "grpc": GrpcExporter(memory, address),
    }
    return [offer for name, offer in offers.items() if allowed(wanted, name, tls)]
