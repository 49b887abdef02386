"""A real gateway and real workers of a small model that reads images, inside the test's process."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from baton.core.worker_info import Role, WorkerInfo
from baton.engine.config import EngineConfig
from baton.engine.runners.torch_runner import load_torch_runner
from baton.registry.membership import Membership
from baton.worker.settings import WorkerSettings
from tests.support.encode_worker import ServedEncoder, serving_encoder
from tests.support.gateway_cluster import SECRET, GatewayUnderTest, running_gateway
from tests.support.worker_pair import Served, serving

CHAT = "/v1/chat/completions"
KV_BYTES = 16 << 20


class VisionCluster:
    def __init__(self, folder: Path, gateway: GatewayUnderTest, kv_bytes: int) -> None:
        self.gateway = gateway
        self.client = gateway.client
        self.workers: dict[str, Served] = {}
        self.encoders: dict[str, ServedEncoder] = {}
        self._folder = folder
        self._kv_bytes = kv_bytes
        self._lives: dict[str, AsyncExitStack] = {}

    async def join(self, worker_id: str, role: Role) -> Served:
        settings = self._settings(worker_id)
        config: EngineConfig = settings.engine
        runner = await asyncio.to_thread(load_torch_runner, str(self._folder), config)
        life = AsyncExitStack()
        served = await life.enter_async_context(
            serving(role, settings=settings, runner=runner, images=runner.images)
        )
        self.workers[worker_id] = served
        await self._joined(served.worker.info, life)
        return served

    async def join_encoder(self, worker_id: str, cache_bytes: int = 1 << 20) -> ServedEncoder:
        settings = replace(
            self._settings(worker_id).without_engine(), image_cache_memory_bytes=cache_bytes
        )
        life = AsyncExitStack()
        served = await life.enter_async_context(serving_encoder(settings))
        self.encoders[worker_id] = served
        await self._joined(served.worker.info, life)
        return served

    async def _joined(self, info: WorkerInfo, life: AsyncExitStack) -> None:
        joining = asyncio.create_task(Membership(info, self.gateway.registry, SECRET).run())
        life.push_async_callback(_ended, joining)
        self._lives[info.worker_id] = life
        await self.gateway.until_known(info.worker_id)

    def _settings(self, worker_id: str) -> WorkerSettings:
        return WorkerSettings(
            model=str(self._folder),
            worker_id=worker_id,
            cluster_secret=SECRET,
            kv_cache_memory_bytes=self._kv_bytes,
            max_num_batched_tokens=128,
            threads=1,
        )

    async def kill(self, worker_id: str) -> None:
        """Its connections break; it gets no chance to say anything."""
        self.workers.pop(worker_id, None)
        self.encoders.pop(worker_id, None)
        await self._lives.pop(worker_id).aclose()

    def busy(self) -> str:
        """The decode worker that writes."""
        [name] = [
            name
            for name, served in self.workers.items()
            if served.worker.info.role is Role.DECODE and served.worker.desk.requests
        ]
        return name

    async def ask(self, content: Sequence[Any], **fields: Any) -> dict[str, Any]:
        """The answer to one message, which has to come."""
        response = await self.post(content, **fields)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def refused(self, content: Sequence[Any], **fields: Any) -> dict[str, Any]:
        """The error of a 400."""
        response = await self.post(content, **fields)
        assert response.status_code == 400, response.text
        error: dict[str, Any] = response.json()["error"]
        return error

    async def post(self, content: Sequence[Any], **fields: Any) -> httpx.Response:
        return await self.client.post(CHAT, json=body(content, **fields))

    @asynccontextmanager
    async def streamed(
        self, content: Sequence[Any], **fields: Any
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Chunks, as they come."""
        asked = body(content, stream=True, stream_options={"include_usage": True}, **fields)
        async with self.client.stream("POST", CHAT, json=asked) as response:
            assert response.status_code == 200, await response.aread()
            yield _chunks(response)

    async def until_idle(self) -> None:
        """Of nothing that anybody had is anything left anywhere."""
        await self.gateway.until_idle()
        for served in self.workers.values():
            await served.until_idle()
            served.worker.blocks.check_integrity()
            assert served.worker.sender.counts().open_leases == 0
        for encoder in self.encoders.values():
            await encoder.until_idle()
            encoder.worker.shelf.blocks.check_integrity()
            assert encoder.worker.sender.counts().leased_blocks == 0

    async def close(self) -> None:
        for worker_id in [*self.encoders, *self.workers]:
            await self.kill(worker_id)


def body(content: Sequence[Any], **fields: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": list(content)}],
        "max_tokens": 12,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
        **fields,
    }


def image_part(data: bytes, mime: str = "image/png") -> dict[str, Any]:
    url = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def tokens_of(answer: dict[str, Any]) -> list[int]:
    [choice] = answer["choices"]
    ids: list[int] = choice["token_ids"]
    return ids


async def _chunks(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if line.startswith("data: {"):
            chunk = json.loads(line.removeprefix("data: "))
            assert "error" not in chunk, chunk
            yield chunk


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def vision_cluster(
    folder: Path,
    prefill: int = 1,
    decode: int = 1,
    kv_bytes: int = KV_BYTES,
    encode: int = 0,
    **settings: Any,
) -> AsyncIterator[VisionCluster]:
    """Workers p0 ..., d0 ... and e0 ...; at the end nobody may hold anything."""
    async with running_gateway(folder, **settings) as gateway:
        cluster = VisionCluster(folder, gateway, kv_bytes)
        try:
            for number in range(prefill):
                await cluster.join(f"p{number}", Role.PREFILL)
            for number in range(decode):
                await cluster.join(f"d{number}", Role.DECODE)
            for number in range(encode):
                await cluster.join_encoder(f"e{number}")
            yield cluster
            await cluster.until_idle()
        finally:
            await cluster.close()
