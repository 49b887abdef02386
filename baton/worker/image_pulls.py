"""Embeddings of images from an encode worker: pulled into memory of their own, and out of it at once."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from baton.core.embeddings import blocks_of, embeddings_fingerprint
from baton.core.errors import BatonError, SettingsError, TransferError, UnavailableError
from baton.core.fingerprint import Fingerprint
from baton.core.handoff import Handoff
from baton.core.prompt_images import PromptImage
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.blocks.kv_pool import KvPool
from baton.telemetry.distribution import Observations
from baton.telemetry.worker_families import TRANSFER_SECONDS
from baton.worker.settings import WorkerSettings
from kv_transfer.puller import Puller, PullLimits
from kv_transfer.receiver_events import ReceiverLimits

if TYPE_CHECKING:
    from torch import Tensor

    from baton.engine.vision.embedding_blocks import EmbeddingBlocks

logger = logging.getLogger(__name__)

SPARE_BLOCKS = 64  # beside those of the longest prompt: each image may leave part of one empty
# Between two images that are done there may be many of other requests, on a slow machine; a worker that
# is gone is noticed at once by its connection.
LIMITS = PullLimits(ReceiverLimits(opening_s=30.0, receiving_s=300.0))

PULLED, NOT_NEEDED, FAILED = RESULTS = ("pulled", "not_needed", "failed")


@dataclass(frozen=True, slots=True)
class PulledImages:
    """What came, and how."""

    embeddings: "dict[bytes, Tensor]"  # by digest, [tokens, width] each
    bytes: int
    transport: str
    exposed_ms: float  # behind the end of the encoding


@dataclass(slots=True)
class _Landing:
    """Made when the first images come: where no encode worker lives it would lie idle."""

    pool: KvPool
    blocks: BlockPool
    memory: "EmbeddingBlocks"
    puller: Puller


class ImagePulls:
    """Call everything on one loop's thread. The counts only grow."""

    def __init__(
        self,
        instance_id: str,
        model: Fingerprint,
        width: int,
        max_tokens: int,
        settings: WorkerSettings,
    ) -> None:
        """`model` is this worker's fingerprint, `width` of an embedding of its model; `max_tokens` of
        a prompt.
        """
        self._instance_id = instance_id
        self._fingerprint = embeddings_fingerprint(model, width)
        self._settings = settings
        self._num_blocks = self._fingerprint.layout.blocks_for(max_tokens) + SPARE_BLOCKS
        self._landing: _Landing | None = None
        self._closed = False
        self._under_way = 0  # pulls
        self._turn = asyncio.Lock()  # first come, first given room
        self._freed = asyncio.Event()
        self.results = Counter(dict.fromkeys(RESULTS, 0))
        self.bytes = 0
        self.exposed = Observations(TRANSFER_SECONDS)

    async def pull(self, handoff: Handoff, images: Sequence[PromptImage]) -> PulledImages:
        """`images` are those that the encode worker was given, one of each digest. Raises
        TransferError, also where that worker is gone: this one is not.
        """
        try:
            pulled = await self._pull(handoff, images)
        except (BatonError, SettingsError) as error:
            self.results[FAILED] += 1
            raise TransferError(
                f"the images did not come from {handoff.address}: {error}"
            ) from error
        self.results[PULLED] += 1
        self.bytes += pulled.bytes
        self.exposed.see(pulled.exposed_ms / 1000)
        return pulled

    def not_needed(self) -> None:
        """All of them were here already."""
        self.results[NOT_NEEDED] += 1

    async def close(self) -> None:
        """Aborts what is under way. A second call does nothing."""
        landing = self._landing
        closed, self._closed = self._closed, True
        self._freed.set()
        if landing is not None and not closed:
            await landing.puller.close()
            while self._under_way:  # what has come is still copied
                self._freed.clear()
                await self._freed.wait()
            landing.memory.close()
            landing.pool.close()

    async def _pull(self, handoff: Handoff, images: Sequence[PromptImage]) -> PulledImages:
        landing = await self._made()
        count = sum(blocks_of(image.span) for image in images)
        if count > self._num_blocks:
            raise TransferError(f"{count} blocks of embeddings are more than this worker can take")
        room: tuple[int, ...] | None = await self._room(landing.blocks, count)

        def take(wanted: int) -> tuple[int, ...] | None:
            """All of it, or the lease is not that of these images."""
            nonlocal room
            taken, room = (room, None) if wanted == count else (None, room)
            return taken

        self._under_way += 1
        try:
            pulled = await landing.puller.pull(handoff, take, self._release)
            try:
                found = _read(landing.memory, pulled.blocks, images)
            finally:
                self._release(pulled.blocks)
        finally:
            if room is not None:
                self._release(room)
            self._under_way -= 1
            self._freed.set()
        return PulledImages(found, pulled.bytes, pulled.transport, pulled.timing.exposed_ms)

    async def _room(self, blocks: BlockPool, count: int) -> tuple[int, ...]:
        async with self._turn:
            while (taken := blocks.allocate(count)) is None and not self._closed:
                self._freed.clear()
                await self._freed.wait()
        if taken is None:
            raise UnavailableError("this worker stops")
        return taken

    def _release(self, blocks: tuple[int, ...]) -> None:
        assert self._landing is not None
        self._landing.blocks.release(blocks)
        self._freed.set()

    async def _made(self) -> _Landing:
        from baton.engine.vision.embedding_blocks import EmbeddingBlocks  # brings torch along

        async with self._turn:
            if self._closed:
                raise UnavailableError("this worker stops")
            if self._landing is None:
                pool = await asyncio.to_thread(self._new_pool)
                blocks, memory = BlockPool(self._num_blocks), EmbeddingBlocks(pool)
                self._landing = _Landing(pool, blocks, memory, self._new_puller(pool))
                logger.info("%d bytes for images that come from encode workers", pool.size)
            return self._landing

    def _new_pool(self) -> KvPool:
        return KvPool(self._fingerprint.layout, self._num_blocks)

    def _new_puller(self, pool: KvPool) -> Puller:
        settings = self._settings
        return Puller(
            self._instance_id,
            pool,
            self._fingerprint,
            secret=settings.cluster_secret,
            transports=settings.kv_transport,
            limits=LIMITS,
            tls=settings.cluster_tls.identity(),
            checksums=settings.kv_checksums,
        )


def _read(
    memory: "EmbeddingBlocks", blocks: Sequence[int], images: Sequence[PromptImage]
) -> "dict[bytes, Tensor]":
    """By digest; each begins a block of its own."""
    found: dict[bytes, Tensor] = {}
    at = 0
    for image in images:
        own = blocks[at : at + blocks_of(image.span)]
        found[image.span.digest] = memory.read(own, image.span.num_tokens)
        at += len(own)
    return found
