"""uvicorn, run from inside: our socket, our signals, our logs."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from baton.core.errors import SettingsError
from gateway.http.head_limits import HeadLimits
from gateway.http.http_protocol import protocol_with

BACKLOG = 2048
KEEP_ALIVE = 75  # seconds; longer than the pools of common clients keep an idle connection


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SettingsError when the port is taken or the host is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise SettingsError(f"cannot listen on {host}:{port}: {reason}") from error
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """`unix:PATH` for a socket without a port."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class HttpServer(uvicorn.Server):
    """`stop()` ends the listening; what is under way may end within `grace` seconds."""

    def __init__(
        self,
        app: ASGIApp,
        grace: int,
        tls: ssl.SSLContext | None = None,
        head: HeadLimits | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol_with(head or HeadLimits()),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=grace,
            )
        )
        self.config.load()
        self.config.ssl = tls  # made by us, who name the file that is wrong
        self._ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    async def until_ready(self, serving: asyncio.Task[None]) -> None:
        """Until connections are taken, or the serving task ends in a failure."""
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({ready, serving}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if serving.done():
            serving.result()

    def stop(self) -> None:
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, which has more to close than this."""
        yield
