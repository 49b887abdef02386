"""A stand-in for a gateway that has nothing but GET /status, and an empty page of metrics."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextlib.contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """Its URL. It says the same to every GET /status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages = {"/status": (status, body), "/metrics": (200, b"")}
            code, said = pages.get(self.path, (404, body))
            self.send_response(code)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def fake_status(workers: Sequence[Mapping[str, Any]], queued: int = 0) -> Iterator[str]:
    page = {"model": "tiny", "queued": queued, "workers": workers}
    with answering(json.dumps(page).encode()) as url:
        yield url
