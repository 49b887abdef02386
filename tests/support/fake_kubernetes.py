"""A stand-in for Kubernetes' API: Deployments whose size can be read and patched."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAMESPACE, TOKEN = "models", "the token"
_FOLDER = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/"


@dataclass
class FakeKubernetes:
    """`sizes` are replicas that are wanted; the first `ready` of them are."""

    account: Path
    sizes: dict[str, int]
    ready: dict[str, int] = field(default_factory=dict)
    patches: list[tuple[str, int]] = field(default_factory=list)
    forbidden: bool = False
    url: str = ""

    def get(self, path: str) -> tuple[int, Any]:
        name = path.removeprefix(_FOLDER)
        if not path.startswith(_FOLDER) or name not in self.sizes:
            return 404, {"message": f"{path} not found"}
        ready = self.ready.get(name, self.sizes[name])
        status = {"readyReplicas": ready} if ready else {}  # as Kubernetes leaves out zeros
        return 200, {"spec": {"replicas": self.sizes[name]}, "status": status}

    def patch(self, path: str, kind: str, body: Any) -> tuple[int, Any]:
        name = path.removeprefix(_FOLDER).removesuffix("/scale")
        if self.forbidden:
            return 403, {"message": f"deployments.apps {name!r} is forbidden"}
        if not path.endswith("/scale") or kind != "application/merge-patch+json":
            return 415, {"message": f"{path} as {kind}"}
        self.sizes[name] = body["spec"]["replicas"]
        self.patches.append((name, self.sizes[name]))
        return 200, {"spec": body["spec"]}


@contextlib.contextmanager
def fake_kubernetes(folder: Path, **sizes: int) -> Iterator[FakeKubernetes]:
    """With a service account in `folder`."""
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "namespace").write_text(NAMESPACE)
    fake = FakeKubernetes(folder, sizes)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*fake.get(self.path))

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(*fake.patch(self.path, self.headers["Content-Type"], body))

        def _answer(self, code: int, said: Any) -> None:
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                code, said = 401, {"message": "Unauthorized"}
            text = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
