"""The two questions that are asked of Kubernetes: how large a Deployment is, and that it be another."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baton.core.errors import UnavailableError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT = 10.0  # seconds
_MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Replicas:
    wanted: int
    ready: int


@dataclass(frozen=True, slots=True)
class KubernetesApi:
    """As a pod with a service account. Every call raises UnavailableError with a sentence."""

    url: str  # such as https://kubernetes.default.svc
    namespace: str
    account: Path = SERVICE_ACCOUNT  # a folder with `token` and `ca.crt`, read at every call

    def replicas(self, deployment: str) -> Replicas:
        found = self._ask("GET", f"deployments/{deployment}")
        return Replicas(
            int(found.get("spec", {}).get("replicas", 1)),
            int(found.get("status", {}).get("readyReplicas", 0)),
        )

    def scale(self, deployment: str, count: int) -> None:
        self._ask("PATCH", f"deployments/{deployment}/scale", {"spec": {"replicas": count}})

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/apis/apps/v1/namespaces/{self.namespace}/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Accept": "application/json", "Content-Type": _MERGE},
            method=method,
        )
        try:
            request.add_header("Authorization", f"Bearer {self._read('token')}")
            with self._opener().open(request, timeout=TIMEOUT) as response:
                found = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise UnavailableError(
                    f"Kubernetes answers {method} {path} with {error.code}: {_message(error.read())}"
                ) from error
        except (OSError, ValueError) as error:
            raise UnavailableError(f"Kubernetes at {self.url} does not answer: {error}") from error
        if not isinstance(found, dict):
            raise UnavailableError(f"Kubernetes answers {method} {path} with no object")
        return found

    def _opener(self) -> urllib.request.OpenerDirector:
        """Never by a proxy: the API is in the cluster."""
        handlers: list[Any] = [urllib.request.ProxyHandler({})]
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)

    def _read(self, name: str) -> str:
        return (self.account / name).read_text("utf-8").strip()


def _message(body: bytes) -> str:
    """Of a Status object."""
    try:
        said = json.loads(body)
    except ValueError:
        return "no reason"
    return str(said.get("message", "no reason")) if isinstance(said, dict) else "no reason"
