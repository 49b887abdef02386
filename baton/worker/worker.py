"""Engine, sender and receiver of one process, put together. Both roles have all three."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from baton.core.errors import BatonError, InternalError, RefusedError
from baton.core.handoff import Handoff, PrefixSource, new_id
from baton.core.kv_events import KvChange
from baton.core.prompt_images import PromptImage
from baton.core.worker_info import WorkerInfo, WorkerLoad, WorkerState
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.engine import Engine
from baton.engine.work import EventSink, Work
from baton.telemetry.metrics import WorkerCollector, WorkerReading
from baton.worker.backlog import Backlog
from baton.worker.bridge import EngineBridge
from baton.worker.desk import Desk
from baton.worker.exporters import exporters_of
from baton.worker.flips import Flips
from baton.worker.image_pulls import ImagePulls, PulledImages
from baton.worker.images import Images
from baton.worker.load import LoadBoard
from baton.worker.prefix_pulls import PrefixPulls
from baton.worker.readout import Readout
from baton.worker.room import Room
from baton.worker.rooms import Rooms
from baton.worker.settings import WorkerSettings
from baton.worker.stage import stage_for
from baton.worker.traffic import Traffic
from kv_transfer.puller import Puller
from kv_transfer.pulling import Pulled
from kv_transfer.sender_events import SenderLimits
from kv_transfer.sending import Sender
from kv_transfer.staging import Staging
from kv_transfer.transports import nixl_agent
from kv_transfer.transports.grpc_export import GrpcExporter
from kv_transfer.transports.planes import exposed

if TYPE_CHECKING:
    from torch import Tensor

    from baton.telemetry.tracing import Tracer

HELD_SHARE = 0.5  # of the pool, in leases that wait for another router's decode worker

logger = logging.getLogger(__name__)


class Worker:
    """Built inside the running loop; `start` before the server, `close` after it has stopped."""

    def __init__(
        self,
        info: WorkerInfo,
        engine: Engine,
        settings: WorkerSettings,
        lease_limits: SenderLimits | None = None,
        tracer: "Tracer | None" = None,
    ) -> None:
        self.info = info
        self.tracer = tracer
        self.board = LoadBoard(self.load)
        self.desk = Desk(info.role, settings.max_num_seqs, self.board.touch)
        self.bridge = EngineBridge(engine, asyncio.get_running_loop(), self.board.touch)
        self._stage = stage_for(engine)
        staging = None if self._stage is None else Staging(self._stage)
        memory = engine.pool if staging is None else staging.memory
        exporters = exporters_of(memory, settings, info.address)
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
        self.flips = Flips()
        self.images = Images(engine.images, settings.image_cache_memory_bytes)
        self.image_pulls: ImagePulls | None = None  # None: it reads only text
        if engine.images is not None:
            self.image_pulls = ImagePulls(
                *(info.instance_id, info.fingerprint, engine.images.width),
                *(engine.max_model_len, settings),
            )
        self._readout = Readout(
            *(lambda: self.info, engine, self.sender, self._puller, self._prefix_pulls),
            *(self._traffic, self.flips, self.images, self.image_pulls),
            settings.kv_transport == nixl_agent.NAME,
        )
        self.backlog = Backlog()
        self.rooms = Rooms(self.bridge, self.desk)

    @property
    def blocks(self) -> BlockPool:
        return self.bridge.engine.blocks

    @property
    def alive(self) -> bool:
        return self.bridge.engine.alive

    @property
    def failed(self) -> asyncio.Event:
        return self.bridge.failed

    def kv_change(self, after: int | None) -> KvChange:
        return self.blocks.kv_change(after)

    @property
    def takes_requests(self) -> bool:
        return self.desk.state is WorkerState.READY and self.alive

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
        """It was told to leave, and has nothing left."""
        await self.board.until(lambda: self.desk.leaves and self.idle)

    def turn(self) -> WorkerInfo:
        """Begins the role that it was emptied for, as another instance: nothing that was promised
        under the old one holds.
        """
        self.desk.turn()
        self.info = replace(
            self.info, role=self.desk.role, instance_id=new_id(), flips=self.info.flips + 1
        )
        self.sender.fence(self.info.instance_id)
        return self.info

    def start(self) -> None:
        """From now on peers can read the pool."""
        if self._exposed is not None:
            logger.warning(self._exposed)
        self.sender.start()

    async def give_up(self) -> None:
        """Ends all that runs with an error that says why, while its callers can still hear it."""
        self.sender.give_up()
        await self._close_pulls()
        await asyncio.to_thread(self.bridge.engine.stop)

    async def close(self) -> None:
        await self._close_pulls()
        await asyncio.to_thread(self.images.close)
        self.sender.close()
        if self._stage is not None:
            self._stage.close()

    async def _close_pulls(self) -> None:
        await self._puller.close()
        if self.image_pulls is not None:
            await self.image_pulls.close()

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

    async def with_embeddings(self, work: Work, images: Sequence[PromptImage]) -> Work:
        """The same with its images encoded. Raises RequestError for a file that cannot be read."""
        seen = await self.images.embeddings(images, work.cache_salt, work.tenant)
        return replace(work, embeddings=seen)

    async def with_embeddings_of(
        self, work: Work, images: Sequence[PromptImage], encoded: Handoff
    ) -> tuple[Work, PulledImages | None]:
        """The same with images that an encode worker has, and what came of them; None: all of them
        were here. Raises TransferError.
        """
        pulls, pulled = self.image_pulls, None

        async def fetch(wanted: Sequence[PromptImage]) -> "Mapping[bytes, Tensor]":
            nonlocal pulled
            if pulls is None:
                raise InternalError("a model that reads only text was sent images")
            pulled = await pulls.pull(encoded, wanted)
            return pulled.embeddings

        seen = await self.images.fetched(images, work.cache_salt, work.tenant, fetch)
        if pulled is None and pulls is not None:
            pulls.not_needed()
        return replace(work, embeddings=seen), pulled

    def publish(self, work: Work, blocks: tuple[int, ...]) -> None:
        """Blocks that were pulled for the work, the references on which are taken: the engine finds
        them in the prefix cache.
        """
        self._prefix_pulls.publish(blocks, work.names)

    async def pull(self, handoff: Handoff, room: Room, num_known: int) -> Pulled:
        """The blocks of what is known, `num_known` tokens, now ours, and its first tokens. Cancelling
        leaves nothing behind. What the room holds of them already does not travel.
        """
        reservation, held = room.reservation, room.take_cached()
        self._traffic.asked(num_known - len(held) * self.info.fingerprint.layout.block_size)
        try:
            pulled = await self._puller.pull(
                handoff,
                lambda count: self.blocks.allocate(count, reservation),
                self.release,
                held,
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
            next_role=self.desk.next_role,
            room=self.rooms.by(engine),
        )

    def reading(self) -> WorkerReading:
        """For the metrics page, on whichever thread serves it."""
        return self._readout.reading()

    def collector(self, model_name: str) -> WorkerCollector:
        return WorkerCollector(model_name, self.reading)
