"""A Hugging Face hub that holds one model: its few endpoints over real HTTP, for tests."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c0ffee" * 6 + "beef"
MODEL = "org/name"


@dataclass(slots=True)
class FakeHub:
    """What it holds, whom it lets in, and what it was asked for."""

    folder: Path
    token: str = ""  # whoever lacks it is not told that the model exists
    gated: bool = False
    revisions: tuple[str, ...] = ("main", COMMIT)
    cut_at: dict[str, int] = field(default_factory=dict)  # bytes after which a file's stream breaks
    url: str = ""
    gets: list[tuple[str, str]] = field(default_factory=list)  # files and the Range asked for
    on_get: Callable[[], None] | None = None  # called once, by the first download
    guard: threading.Lock = field(default_factory=threading.Lock)
    tokens: set[str] = field(default_factory=set)  # shown by anybody


@contextmanager
def running_hub(folder: Path) -> Iterator[FakeHub]:
    hub = FakeHub(folder)

    class Handler(_Handler):
        held = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    held: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        shown = self.headers.get("authorization", "").removeprefix("Bearer ")
        if shown:
            self.held.tokens.add(shown)
        path = self.path.partition("?")[0]
        told = re.fullmatch(rf"/(?:api/models/)?{MODEL}(?:/(\w+)/([^/]+)(?:/(.+))?)?", path)
        if told is None or (self.held.token and shown != self.held.token):
            self._refuse(401 if told else 404, "RepoNotFound")
        elif self.held.gated:
            self._refuse(403, "GatedRepo")
        elif told[2] not in self.held.revisions:
            self._refuse(404, "RevisionNotFound")
        elif told[1] == "resolve":
            self._send_file(told[3], with_body)
        else:
            self._send_json(self._tree() if told[1] == "tree" else {"id": MODEL, "sha": COMMIT})

    def _tree(self) -> list[dict[str, object]]:
        files = [path for path in sorted(self.held.folder.rglob("*")) if path.is_file()]
        return [
            {
                "type": "file",
                "path": str(path.relative_to(self.held.folder)),
                "size": path.stat().st_size,
                "oid": _etag(path),
            }
            for path in files
        ]

    def _send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self._head(200, len(body), {"Content-Type": "application/json"})
        self.wfile.write(body)

    def _send_file(self, name: str, with_body: bool) -> None:
        path = self.held.folder / name
        if not path.is_file():
            self._refuse(404, "EntryNotFound")
            return
        data, asked = path.read_bytes(), self.headers.get("range", "")
        start = int(asked.removeprefix("bytes=").partition("-")[0] or 0) if asked else 0
        headers = {"ETag": f'"{_etag(path)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(206 if asked else 200, len(data) - start, headers)
        if with_body:
            self.held.gets.append((name, asked))
            with self.held.guard:
                called, self.held.on_get = self.held.on_get, None
            if called is not None:
                called()
            self.wfile.write(data[start : self.held.cut_at.get(name, len(data))])
            self.close_connection = name in self.held.cut_at

    def _refuse(self, status: int, code: str) -> None:
        self._head(status, 0, {"X-Error-Code": code})

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
