"""What a worker's metrics page reads, gathered from those who count it."""

from collections.abc import Callable
from dataclasses import dataclass

from baton import __version__
from baton.core.worker_info import WorkerInfo
from baton.engine.engine import Engine
from baton.engine.work import EngineLoad
from baton.telemetry.metrics import NixlReading, WorkerReading
from baton.telemetry.worker_reading import ImagePullsReading
from baton.worker.flips import Flips
from baton.worker.image_pulls import ImagePulls
from baton.worker.images import Images
from baton.worker.prefix_pulls import PrefixPulls
from baton.worker.traffic import Traffic
from kv_transfer.puller import Puller
from kv_transfer.sending import Sender
from kv_transfer.transports import nixl_agent


@dataclass(frozen=True, slots=True)
class Readout:
    info: Callable[[], WorkerInfo]  # its role may change
    engine: Engine
    sender: Sender
    puller: Puller
    prefixes: PrefixPulls
    traffic: Traffic
    flips: Flips
    images: Images
    image_pulls: ImagePulls | None
    reads_by_nixl: bool

    def reading(self) -> WorkerReading:
        """Called from any thread. Readings of the same moment, nearly."""
        engine, counts, pulling = self.engine.load(), self.sender.counts(), self.puller.counts()
        prefixes, traffic = self.prefixes, self.traffic
        block_size = self.info().fingerprint.layout.block_size
        return WorkerReading(
            about=self._about(),
            cache_config=self._cache_config(engine),
            running=engine.running,
            waiting=engine.waiting,
            preemptions=engine.preemptions,
            aborts=engine.aborts,
            step_tokens=self.engine.step_tokens,
            kv_usage=engine.kv_usage,
            cache_queries=engine.cache_queries,
            cache_hits=engine.cache_hits,
            external_queries=traffic.asked_tokens + prefixes.asked_tokens,
            external_hits=traffic.tokens + prefixes.tokens,
            host_queries=engine.host.queries * block_size,
            host_hits=engine.host.hits * block_size,
            host_blocks_stored=engine.host.stored,
            host_blocks_evicted=engine.host.evicted,
            host_usage=engine.host.usage,
            leases_open=counts.open_leases,
            leased_blocks=counts.leased_blocks,
            reclaimed_blocks=counts.reclaimed_blocks,
            reserved_blocks=engine.reserved_blocks,
            pulls_open=pulling.pulls,
            pulling_blocks=pulling.blocks,
            transfer_bytes=traffic.bytes,
            wrong_blocks=self.puller.wrong_blocks,
            repaired_blocks=self.puller.repaired_blocks,
            transfer_seconds=traffic.seconds.reading(),
            exposed_seconds=traffic.exposed.reading(),
            handoffs={**counts.ended, **traffic.results},
            prefix_pulls=prefixes.results,
            prefix_tokens=prefixes.tokens,
            role_flips=self.flips.told(),
            image_queries=self.images.queries,
            image_hits=self.images.hits,
            image_seconds=self.images.seconds.reading(),
            image_pulls=self._image_pulls(),
            nixl=self._nixl() if self.reads_by_nixl else None,
        )

    def _image_pulls(self) -> ImagePullsReading | None:
        pulls = self.image_pulls
        if pulls is None:
            return None
        return ImagePullsReading(pulls.results, pulls.bytes, pulls.exposed.reading())

    def _nixl(self) -> NixlReading:
        read = self.puller.reads.reading(nixl_agent.NAME)
        return NixlReading(read.bytes, read.seconds, read.failed)

    def _about(self) -> dict[str, str]:
        info = self.info()
        return {"worker_id": info.worker_id, "role": info.role.value, "version": __version__}

    def _cache_config(self, engine: EngineLoad) -> dict[str, str]:
        """As vLLM writes what it was configured with."""
        layout = self.info().fingerprint.layout
        return {
            "block_size": str(layout.block_size),
            "cache_dtype": layout.dtype,
            "enable_prefix_caching": str(self.engine.caches_prefixes),
            "kv_cache_memory_bytes": str(engine.total_blocks * layout.block_bytes),
            "num_cpu_blocks": str(engine.host.total),
            "num_gpu_blocks": str(engine.total_blocks),
        }
