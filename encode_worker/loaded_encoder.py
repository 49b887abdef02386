"""A vision tower, loaded, as what a worker's process serves."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from baton.core.embeddings import embeddings_layout
from baton.core.errors import SettingsError
from baton.core.extras import needing
from baton.core.fingerprint import Fingerprint
from baton.core.worker_info import WorkerInfo
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.machine.device_name import CUDA, device_name
from baton.v1 import encode_pb2_grpc
from baton.worker.settings import WorkerSettings
from encode_worker.encoding import Encoder
from encode_worker.service import EncodeServicer
from encode_worker.shelf import Shelf
from encode_worker.worker import EncodeWorker

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)


class LoadedEncoder:
    def __init__(
        self, encoder: Encoder, fingerprint: Fingerprint, shelf: Shelf, max_model_len: int
    ) -> None:
        self._encoder = encoder
        self._shelf = shelf
        self.fingerprint = fingerprint
        self.max_model_len = max_model_len

    @property
    def num_blocks(self) -> int:
        return self._shelf.blocks.total

    def start(self) -> None:
        """Its thread begins with the first image."""

    def stop(self) -> None:
        """The worker's end is its end."""

    def close(self) -> None:
        self._shelf.close()

    def serve(
        self,
        info: WorkerInfo,
        settings: WorkerSettings,
        server: grpc.aio.Server,
        tracer: "Tracer | None",
    ) -> EncodeWorker:
        worker = EncodeWorker(info, self._encoder, self._shelf, settings, tracer=tracer)
        encode_pb2_grpc.add_EncodeServiceServicer_to_server(EncodeServicer(worker), server)
        return worker


def load_encoder(folder: str, settings: WorkerSettings) -> LoadedEncoder:
    """Raises SettingsError for a model that reads no images, and for what an encode worker cannot do."""
    settings.check_encoder()
    if device_name(settings.device).kind == CUDA:
        raise SettingsError("images are encoded on CPUs alone so far: take --device cpu with it")
    with needing("worker,vision", "an encode worker needs PyTorch and pillow"):
        from baton.engine.vision.tower_checkpoint import load_tower
    tower = load_tower(Path(folder), settings.dtype, settings.engine.threads)
    layout = tower.fingerprint.layout
    num_blocks = settings.image_cache_memory_bytes // layout.block_bytes
    if num_blocks < layout.blocks_for(1):
        raise SettingsError(
            f"--image-cache-memory-bytes {settings.image_cache_memory_bytes} has no room for a "
            f"single block of {layout.block_bytes} bytes: an encode worker lends what it encodes from there"
        )
    assert layout == embeddings_layout(tower.encoder.width, layout.dtype)
    logger.info(
        "loaded the vision tower alone, %d bytes of weights, and no language model; %d blocks of "
        "embeddings",
        tower.weight_bytes,
        num_blocks,
    )
    shelf = Shelf(KvPool(layout, num_blocks), tower.fingerprint.digest())
    return LoadedEncoder(tower.encoder, tower.fingerprint, shelf, tower.max_model_len)
