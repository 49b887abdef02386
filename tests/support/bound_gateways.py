"""Two gateways, each bound to one real worker of a hash model, and a router that drives both: what
llm-d's sidecar does.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from baton.core.worker_info import Role
from baton.worker.settings import WorkerSettings
from gateway.prompts.tokenizer import load_tokenizer
from kv_transfer.sender_events import SenderLimits
from tests.support.gateway_cluster import SECRET, GatewayUnderTest, running_gateway
from tests.support.gateway_reading import CHAT
from tests.support.served_cluster import MODEL, PacedRunner
from tests.support.worker_pair import BLOCKS, Served, serving

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

# What the sidecar sends to the prefill worker's server.
ASKS_TO_READ = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}


@dataclass(frozen=True, slots=True)
class BoundGateways:
    prefill: GatewayUnderTest
    decode: GatewayUnderTest
    reader: Served
    writer: Served

    async def read(self, body: dict[str, Any]) -> httpx.Response:
        """The first leg."""
        first = {key: value for key, value in body.items() if key not in ("stream_options", "stop")}
        first |= {"stream": False, "max_tokens": 1, "kv_transfer_params": ASKS_TO_READ}
        return await self.prefill.client.post(CHAT, json=first)

    async def write(self, body: dict[str, Any], told: Any) -> httpx.Response:
        """The second leg, with what the first one told as it is."""
        return await self.decode.client.post(CHAT, json={**body, "kv_transfer_params": told})

    async def until_free(self) -> None:
        """Nobody holds a lease any more, and nothing of a request is left."""
        sender = self.reader.worker.sender
        await self.prefill.until(lambda: sender.counts().open_leases == 0)
        await self.reader.until_idle()
        await self.writer.until_idle()
        assert sender.counts().held_blocks == 0
        assert self.reader.worker.blocks.free == BLOCKS


@asynccontextmanager
async def bound_gateways(
    folder: Path, limits: SenderLimits | None = None, tracer: "Tracer | None" = None
) -> AsyncIterator[BoundGateways]:
    """`limits`: of the prefill worker's leases. `tracer`: of both gateways."""
    digest = load_tokenizer(folder).digest

    def one(role: Role) -> Any:
        runner = PacedRunner(MODEL, digest)
        runner.pace = 0.0
        settings = WorkerSettings(
            model="tiny",
            worker_id=role.value,
            cluster_secret=SECRET,
            kv_cache_memory_bytes=BLOCKS * runner.layout.block_bytes,
        )
        return serving(role, settings=settings, runner=runner, lease_limits=limits)

    async with (
        one(Role.PREFILL) as reader,
        one(Role.DECODE) as writer,
        running_gateway(folder, tracer, worker=reader.worker.info.address) as prefill,
        running_gateway(folder, tracer, worker=writer.worker.info.address) as decode,
    ):
        await prefill.until_known("prefill")
        await decode.until_known("decode")
        yield BoundGateways(prefill, decode, reader, writer)
