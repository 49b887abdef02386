"""A process's Prometheus page, and beside it the plain answers that probes ask for."""

import asyncio
import errno
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry

from baton.core.address import join_address
from baton.core.errors import SettingsError
from baton.telemetry.exposition import CONTENT_TYPE, written

HEALTH = "/health"  # whether the process takes requests
LIVE = "/live"  # whether it can still be helped by waiting


class MetricsServer:
    """Serves `GET /metrics` from threads of its own, between `start()` and `close()`.

    Port 0 takes a free one. Scrapes do not touch the event loop, so a busy loop is still seen.
    `probes` maps further paths to questions: 200 for a yes, 503 for a no, 404 for what nobody has
    put there yet. Kubernetes asks them in the clear, whatever TLS gRPC has.
    """

    def __init__(self, registry: CollectorRegistry, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self.registry = registry  # what the page shows
        self.probes: dict[str, Callable[[], bool]] = {}
        try:
            self._server = _Server((host, port), _handler(registry, self.probes))
        except OSError as error:
            raise SettingsError(
                f"cannot serve metrics on {join_address(host, port)}: {error.strerror or error}"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="metrics"
        )

    @property
    def url(self) -> str:
        """A wildcard address is shown as loopback, where the page can be read too."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"http://{join_address(host, self._server.server_address[1])}/metrics"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Returns once the port is free and every thread has ended; may follow no `start()`."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(ThreadingMixIn, TCPServer):
    """Not http.server's own class: that one asks the DNS for a name nobody needs."""

    allow_reuse_address = True
    daemon_threads = False  # so that server_close() joins the threads of open connections

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that gave up waiting and closed its connection is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Wakes the threads that wait for a client which says nothing."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError as error:
                    if error.errno != errno.ENOTCONN:  # the client went first
                        raise


def loop_answers(loop: asyncio.AbstractEventLoop, seconds: float = 10.0) -> bool:
    """Whether an event loop does what it is asked, within so long. Asked from another thread."""
    answered = threading.Event()
    try:
        loop.call_soon_threadsafe(answered.set)
    except RuntimeError:  # closed
        return False
    return answered.wait(seconds)


def _handler(
    registry: CollectorRegistry, probes: dict[str, Callable[[], bool]]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            probe = probes.get(path)
            if probe is not None:
                self._answer(200 if probe() else 503)
            elif path == "/metrics":
                self._show()
            else:
                self.send_error(404)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _show(self) -> None:
            page = written(registry)
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:
            """A scrape every few seconds is not worth a line."""

    return Handler
