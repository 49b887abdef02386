"""Encoder, shelf and sender of one process, put together."""

import asyncio
import logging
from typing import TYPE_CHECKING

from baton import __version__
from baton.core.errors import InternalError
from baton.core.kv_events import KvChange
from baton.core.worker_info import WorkerInfo, WorkerLoad, WorkerState
from baton.telemetry.encoder_metrics import EncoderCollector, EncoderReading
from baton.worker.desk import Desk
from baton.worker.exporters import exporters_of
from baton.worker.flips import Flips
from baton.worker.load import LoadBoard
from baton.worker.settings import WorkerSettings
from encode_worker.encoding import Encoder, Encoding
from encode_worker.shelf import Shelf
from kv_transfer.sender_events import SenderLimits
from kv_transfer.sending import Sender
from kv_transfer.transports.grpc_export import GrpcExporter
from kv_transfer.transports.planes import exposed

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

NOTHING = KvChange(0, 0, snapshot=True)  # it holds no KV


class EncodeWorker:
    """Built inside the running loop; `start` before the server, `close` after it has stopped."""

    def __init__(
        self,
        info: WorkerInfo,
        encoder: Encoder,
        shelf: Shelf,
        settings: WorkerSettings,
        lease_limits: SenderLimits | None = None,
        tracer: "Tracer | None" = None,
    ) -> None:
        self.info = info
        self.tracer = tracer
        self.shelf = shelf
        self.board = LoadBoard(self.load)
        self.desk = Desk(info.role, settings.max_num_seqs, self.board.touch)
        self.encoding = Encoding(encoder, shelf, self.board.touch)
        self.failed = asyncio.Event()  # never: an image that breaks ends its own request
        self.flips = Flips()
        exporters = exporters_of(shelf.pool, settings, info.address)
        self.served_planes = [e for e in exporters if isinstance(e, GrpcExporter)]
        self.sender = Sender(
            info.instance_id,
            info.fingerprint,
            shelf.blocks.total,
            shelf.pool,
            release=self._release,
            exporters=exporters,
            limits=lease_limits,
        )
        self._exposed = exposed(settings.kv_transport, settings.cluster_tls.is_on)
        self._loop = asyncio.get_running_loop()
        shelf.blocks.on_free(self._touch_soon)

    @property
    def alive(self) -> bool:
        return True

    @property
    def takes_requests(self) -> bool:
        return self.desk.state is WorkerState.READY

    @property
    def requests(self) -> int:
        return max(self.desk.requests, self.sender.counts().open_leases)

    @property
    def idle(self) -> bool:
        return not (self.requests or self.encoding.waiting)

    async def until_drained(self) -> None:
        await self.board.until(lambda: self.desk.leaves and self.idle)

    def turn(self) -> WorkerInfo:
        raise InternalError("an encode worker has no other role")

    def kv_change(self, after: int | None) -> KvChange:
        return NOTHING

    def start(self) -> None:
        if self._exposed is not None:
            logger.warning(self._exposed)
        self.sender.start()

    async def give_up(self) -> None:
        self.sender.give_up()

    async def close(self) -> None:
        await asyncio.to_thread(self.encoding.close)
        self.sender.close()

    def load(self) -> WorkerLoad:
        """Its blocks hold 16 tokens of an image each; running is the image at hand."""
        blocks, waiting = self.shelf.blocks, self.encoding.waiting
        return WorkerLoad(
            state=self.desk.state,
            running=min(1, waiting),
            waiting=max(0, waiting - 1),
            free_blocks=blocks.free,
            reserved_blocks=0,
            leased_blocks=self.sender.counts().leased_blocks,
            total_blocks=blocks.total,
            next_role=self.desk.next_role,
        )

    def reading(self) -> EncoderReading:
        """For the metrics page, on whichever thread serves it."""
        counts, waiting = self.sender.counts(), self.encoding.waiting
        info = self.info
        return EncoderReading(
            about={
                "worker_id": info.worker_id,
                "role": info.role.value,
                "version": __version__,
            },
            running=min(1, waiting),
            waiting=max(0, waiting - 1),
            usage=1 - self.shelf.blocks.free / self.shelf.blocks.total,
            leases_open=counts.open_leases,
            leased_blocks=counts.leased_blocks,
            leases=counts.ended,
            image_queries=self.encoding.queries,
            image_hits=self.encoding.hits,
            image_seconds=self.encoding.seconds.reading(),
        )

    def collector(self, model_name: str) -> EncoderCollector:
        return EncoderCollector(model_name, self.reading)

    def _release(self, blocks: tuple[int, ...]) -> None:
        self.shelf.blocks.release(blocks)
        self.board.touch()

    def _touch_soon(self) -> None:
        """Blocks may become free on the encoding thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.board.touch)
