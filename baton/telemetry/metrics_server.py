"""A process's Prometheus page."""

import errno
import socket
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from baton.core.address import join_address
from baton.core.errors import SettingsError


class MetricsServer:
    """Serves `GET /metrics` from threads of its own, between `start()` and `close()`.

    Port 0 takes a free one. Scrapes do not touch the event loop, so a busy loop is still seen.
    """

    def __init__(self, registry: CollectorRegistry, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self.registry = registry  # what the page shows
        try:
            self._server = _Server((host, port), _handler(registry))
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

    def hang_up(self) -> None:
        """Wakes the threads that wait for a client which says nothing."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError as error:
                    if error.errno != errno.ENOTCONN:  # the client went first
                        raise


def _handler(registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            page = encode(registry)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:
            """A scrape every few seconds is not worth a line."""

    return Handler
