"""Whoever Alertmanager tells: an HTTP server that remembers who was told of which alert."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Told:
    path: str  # of the webhook: who it was
    alert: str
    status: str  # firing or resolved
    summary: str


class Pagers:
    def __init__(self) -> None:
        self._told: list[Told] = []
        self._changed = threading.Condition()
        self.url = ""

    def hear(self, path: str, body: bytes) -> None:
        with self._changed:
            for one in json.loads(body)["alerts"]:
                self._told.append(
                    Told(
                        path,
                        one["labels"]["alertname"],
                        one["status"],
                        one["annotations"]["summary"],
                    )
                )
            self._changed.notify_all()

    def until(self, alert: str, status: str = "firing", seconds: float = 30) -> Told:
        """The first time that somebody was told so; call it in a thread of its own."""

        def found() -> Told | None:
            return next((t for t in self._told if (t.alert, t.status) == (alert, status)), None)

        with self._changed:
            told = self._changed.wait_for(found, seconds)
            assert told is not None, f"nobody was told that {alert} is {status}: {self._told}"
            return told


@contextmanager
def pagers() -> Iterator[Pagers]:
    """Listening at `url`."""
    heard = Pagers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.hear(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """A test's output is not for it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
