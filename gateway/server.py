"""A gateway from start to end: start up, serve until told to stop, shut down."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import grpc

from baton.core.address import join_address
from baton.core.collector import collect_seldom
from baton.core.errors import UnavailableError
from baton.core.interrupts import Interrupts, still_running
from baton.rpc.server import bind, stop
from gateway.build import build
from gateway.gateway import Gateway
from gateway.http.doorway import Doorway
from gateway.http.http_server import BACKLOG, HttpServer, listen, url_of
from gateway.http.unix_socket import unix_listener
from gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

GRACE = 4  # seconds in which clients may read how their requests end; then uvicorn cancels
HURRIED_GRACE = 0.5  # likewise, when told twice
REGISTRY_GRACE = 0.5  # seconds for workers to notice


async def serve(settings: GatewaySettings, tracer: "Tracer | None" = None) -> None:
    """Until SIGTERM or SIGINT. Raises SettingsError when it cannot start."""
    interrupts = Interrupts()
    interrupts.listen()  # from the first moment, so that a start can be stopped
    with _listener(settings) as listener:
        gateway = build(settings, tracer)
        if gateway.registry_server is None:
            await _run(gateway, listener, settings, "", interrupts)
        else:
            await _run_with_registry(
                gateway.registry_server, gateway, listener, settings, interrupts
            )


def _listener(settings: GatewaySettings) -> AbstractContextManager[socket.socket]:
    if settings.uds:
        return unix_listener(settings.uds, BACKLOG)
    return listen(settings.host, settings.port)  # a socket closes itself


async def _run_with_registry(
    server: grpc.aio.Server,
    gateway: Gateway,
    listener: socket.socket,
    settings: GatewaySettings,
    interrupts: Interrupts,
) -> None:
    port = bind(
        server, settings.registry_host, settings.registry_port, settings.cluster_tls.identity()
    )
    await server.start()
    try:
        registry = join_address(settings.registry_host, port)
        await _run(gateway, listener, settings, registry, interrupts)
    finally:
        await stop(server, REGISTRY_GRACE)


async def _run(
    gateway: Gateway,
    listener: socket.socket,
    settings: GatewaySettings,
    registry: str,
    interrupts: Interrupts,
) -> None:
    http = HttpServer(gateway.app, GRACE, settings.tls.context(), settings.head_limits)
    serving = asyncio.create_task(http.serve([listener]), name="http")
    following = asyncio.create_task(gateway.follow(), name="registry")
    sharing = asyncio.create_task(gateway.share(), name="commons")
    knowing = asyncio.create_task(gateway.roster.run(), name="tenants")
    stopped = asyncio.create_task(interrupts.stop.wait(), name="until stopped")
    try:
        await http.until_ready(serving)
        await _until_began(gateway.until_followed(), following)
        await _until_began(gateway.roster.began(), knowing)
        collect_seldom()
        _announce(url_of(listener, settings.tls.scheme), registry, settings.ready_fd)
        running = {following, knowing}
        await asyncio.wait({serving, stopped, *running}, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            if task.done():
                task.result()  # never returns by itself
    finally:
        await _shut_down(gateway, http, serving, settings.shutdown_seconds, interrupts.hurry)
        following.cancel()
        sharing.cancel()
        knowing.cancel()
        stopped.cancel()
        await asyncio.gather(following, sharing, knowing, stopped, return_exceptions=True)
        await gateway.close()


async def _until_began(beginning: Coroutine[Any, Any, object], task: "asyncio.Task[None]") -> None:
    """Raises SettingsError when Redis refuses what this gateway was told."""
    began = asyncio.create_task(beginning, name="until it began")
    await asyncio.wait({began, task}, return_when=asyncio.FIRST_COMPLETED)
    began.cancel()
    if task.done():
        task.result()


async def _shut_down(
    gateway: Gateway,
    http: HttpServer,
    serving: asyncio.Task[None],
    seconds: float,
    hurry: asyncio.Event,
) -> None:
    """Takes nothing new, lets what runs finish for so long, then ends it with an error event."""
    gateway.doorway.shut()
    hurrying = asyncio.create_task(_hurry(http, hurry), name="until hurried")
    if gateway.doorway.inside:
        logger.warning(still_running(gateway.doorway.inside))
        await _until_empty(gateway.doorway, seconds, hurry)
    http.stop()
    gateway.feed.close()
    gateway.fail_all(UnavailableError("the gateway is shutting down"))
    try:
        await serving
    finally:
        hurrying.cancel()
        await asyncio.gather(hurrying, return_exceptions=True)


async def _until_empty(doorway: Doorway, seconds: float, hurry: asyncio.Event) -> None:
    """At most `seconds`, and no longer than until `hurry` is set."""
    waits = [
        asyncio.create_task(doorway.until_empty(), name="until empty"),
        asyncio.create_task(hurry.wait(), name="until hurried"),
    ]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _hurry(http: HttpServer, hurry: asyncio.Event) -> None:
    await hurry.wait()
    await asyncio.sleep(HURRIED_GRACE)
    http.force_exit = True


def _announce(url: str, registry: str, ready_fd: int | None) -> None:
    where = f"at {registry}" if registry else "elsewhere"
    logger.info("serving at %s, workers register %s", url, where)
    if ready_fd is not None:
        with os.fdopen(ready_fd, "w") as ready:
            ready.write(json.dumps({"url": url, "registry": registry}) + "\n")
