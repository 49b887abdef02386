"""A real gateway inside the test's process: real HTTP, real registry, on free ports."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from baton.core.labels import Labels
from baton.core.worker_info import Role
from baton.rpc.server import bind
from baton.rpc.tls_identity import TlsIdentity
from gateway.build import build
from gateway.gateway import Gateway
from gateway.http.http_server import HttpServer, listen, url_of
from gateway.members.worker import Worker
from gateway.models.served_model import ServedModel
from gateway.prompts.tokenizer import load_tokenizer
from gateway.settings import GatewaySettings
from tests.support.gateway_fake_workers import FakeWorker
from tests.support.gateway_members import make_fingerprint

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

SECRET = "test secret"


@dataclass
class GatewayUnderTest:
    gateway: Gateway
    registry: str
    client: httpx.AsyncClient
    tokenizer_digest: str
    changed: asyncio.Event
    tls: TlsIdentity | None = None  # of the whole cluster
    workers: list[FakeWorker] = field(default_factory=list)

    async def join(
        self,
        worker_id: str,
        role: Role,
        *,
        model: str = "m",
        tokenizer: str | None = None,
        labels: Labels = (),
        files: str = "",
    ) -> FakeWorker:
        """A worker that has joined and whose load the gateway has read. `files`: digest of what it
        has loaded.
        """
        fingerprint = make_fingerprint(model, tokenizer or self.tokenizer_digest)
        worker = FakeWorker(worker_id, role, fingerprint, labels)
        worker.files_digest = files
        self.workers.append(worker)
        await worker.start(self.registry, SECRET, self.tls)
        await self.until_known(worker_id)
        return worker

    async def pair(self) -> tuple[FakeWorker, FakeWorker]:
        return await self.join("p0", Role.PREFILL), await self.join("d0", Role.DECODE)

    async def until_known(self, worker_id: str) -> None:
        await self.until(lambda: self._knows(worker_id))

    async def until_gone(self, worker_id: str) -> None:
        await self.until(lambda: not self._knows(worker_id))

    async def until_queued(self, count: int) -> None:
        await self.until(lambda: len(self.gateway.models.first.queue) == count)

    async def until_idle(self) -> None:
        """No call to a worker is open any more."""
        await self.until(lambda: not any(worker.in_flight for worker in self.all_workers()))

    def all_workers(self) -> list[Worker]:
        """Of all models."""
        return [worker for model in self.gateway.models for worker in model.workers.all()]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Looks after every change in the cluster, and a hundred times a second."""
        async with asyncio.timeout(30):
            while not condition():
                self.changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await self.changed.wait()

    def _knows(self, worker_id: str) -> bool:
        return any(w.info.worker_id == worker_id and w.load is not None for w in self.all_workers())


@asynccontextmanager
async def running_gateway(
    folder: Path,
    tracer: "Tracer | None" = None,
    send_buffer: int | None = None,
    **settings: object,
) -> AsyncIterator[GatewayUnderTest]:
    """`send_buffer`: bytes that the system keeps for a client who does not read."""
    given = {"served_model_name": ("tiny", "alias"), "max_queue_seconds": 10.0, **settings}
    given.setdefault("placement_policy", "prefix_aware")  # always pairs
    chosen = GatewaySettings(model=str(folder), cluster_secret=SECRET, **given)  # type: ignore[arg-type]
    listener = listen("127.0.0.1", 0)
    if send_buffer is not None:  # connections inherit it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    gateway = build(chosen, tracer)
    tls = chosen.cluster_tls.identity()
    registry, server = "", gateway.registry_server
    if server is not None:
        registry = f"127.0.0.1:{bind(server, '127.0.0.1', 0, tls)}"
        await server.start()
    http = HttpServer(gateway.app, 1, chosen.tls.context(), chosen.head_limits)
    serving = asyncio.create_task(http.serve([listener]))
    changed = asyncio.Event()

    def on_change(model: ServedModel) -> None:
        model.queue.pump()
        changed.set()

    following = [asyncio.create_task(gateway.dealer.run())]
    following += [
        asyncio.create_task(model.workers.run(partial(on_change, model)))
        for model in gateway.models
    ]
    sharing = asyncio.create_task(gateway.share())
    knowing = asyncio.create_task(gateway.roster.run())
    await http.until_ready(serving)
    await gateway.roster.began()
    client = httpx.AsyncClient(
        base_url=url_of(listener, chosen.tls.scheme),
        timeout=30,
        trust_env=False,
        verify=ssl.create_default_context(cafile=chosen.tls.ssl_certfile or None),
    )
    under_test = GatewayUnderTest(
        gateway, registry, client, load_tokenizer(folder).digest, changed, tls
    )
    try:
        yield under_test
    finally:
        await client.aclose()
        http.stop()
        gateway.feed.close()
        await serving
        for task in (*following, sharing, knowing):
            task.cancel()
        await asyncio.gather(*following, sharing, knowing, return_exceptions=True)
        await gateway.close()
        await asyncio.gather(*(worker.stop() for worker in under_test.workers))
        if server is not None:
            await server.stop(None)
        listener.close()
