"""The gateway's pages, over HTTP."""

from dataclasses import dataclass
from typing import Any

from baton.cluster.api_client import ApiClient
from baton.cluster.status_page import fetch_status, several_models
from baton.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class GatewayPages:
    client: ApiClient

    def status(self) -> dict[str, Any]:
        """Raises SettingsError for a gateway whose workers are not all of one kind."""
        status = fetch_status(self.client)
        if several_models(status):
            raise SettingsError(
                f"the gateway at {self.client.url} serves several models, and a planner sizes the "
                "workers of one"
            )
        return status

    def metrics(self) -> str:
        return self.client.text("/metrics")
