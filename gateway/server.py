"""A gateway from start to end: start up, serve until told to stop, shut down."""

import asyncio
import json
import logging
import os
import signal
import socket

from baton.core.errors import UnavailableError
from baton.rpc.server import bind, stop
from gateway.build import Gateway, build
from gateway.http_server import HttpServer, listen, url_of
from gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

OWN_PACE = 2.0  # seconds in which streams may end by themselves
GRACE = 4  # seconds after which uvicorn cancels what is left
REGISTRY_GRACE = 0.5  # seconds for workers to notice


async def serve(settings: GatewaySettings) -> None:
    """Until SIGTERM or SIGINT. Raises SettingsError when it cannot start."""
    stopping = _until_signalled()
    listener = listen(settings.host, settings.port)
    try:
        gateway = build(settings)
        port = bind(gateway.registry_server, settings.registry_host, settings.registry_port)
        await gateway.registry_server.start()
        try:
            registry = f"{settings.registry_host}:{port}"
            await _run(gateway, listener, settings, registry, stopping)
        finally:
            await stop(gateway.registry_server, REGISTRY_GRACE)
    finally:
        listener.close()


def _until_signalled() -> asyncio.Event:
    """Set by SIGTERM, SIGINT or SIGHUP; caught from the first moment, so that a start can be stopped."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup: the terminal may go
        loop.add_signal_handler(signal.SIGHUP, stopping.set)
    return stopping


async def _run(
    gateway: Gateway,
    listener: socket.socket,
    settings: GatewaySettings,
    registry: str,
    stopping: asyncio.Event,
) -> None:
    http = HttpServer(gateway.app, GRACE, settings.tls.context())
    serving = asyncio.create_task(http.serve([listener]), name="http")
    following = asyncio.create_task(gateway.workers.run(gateway.queue.pump), name="registry")
    stopped = asyncio.create_task(stopping.wait(), name="until stopped")
    try:
        await http.until_ready(serving)
        _announce(url_of(listener, settings.tls.scheme), registry, settings.ready_fd)
        await asyncio.wait({serving, following, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()  # never returns by itself
    finally:
        await _shut_down(gateway, http, serving)
        following.cancel()
        stopped.cancel()
        await asyncio.gather(following, stopped, return_exceptions=True)
        await gateway.dispatcher.close()
        await gateway.workers.close()


async def _shut_down(gateway: Gateway, http: HttpServer, serving: asyncio.Task[None]) -> None:
    """Takes nothing new, gives streams a moment, then ends them with an error event."""
    logger.info("shutting down")
    http.stop()
    await asyncio.wait({serving}, timeout=OWN_PACE)
    gateway.dispatcher.fail_all(UnavailableError("the gateway is shutting down"))
    await serving


def _announce(url: str, registry: str, ready_fd: int | None) -> None:
    logger.info("serving at %s, workers register at %s", url, registry)
    if ready_fd is not None:
        with os.fdopen(ready_fd, "w") as ready:
            ready.write(json.dumps({"url": url, "registry": registry}) + "\n")
