"""The gateway's pages, over HTTP."""

from dataclasses import dataclass
from typing import Any

from baton.cluster.api_client import ApiClient
from baton.cluster.status_page import fetch_status


@dataclass(frozen=True, slots=True)
class GatewayPages:
    client: ApiClient

    def status(self) -> dict[str, Any]:
        return fetch_status(self.client)

    def metrics(self) -> str:
        return self.client.text("/metrics")
