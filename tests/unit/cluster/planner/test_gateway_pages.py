"""A planner plans for the workers of one model, and says so where a gateway has several."""

from typing import Any, cast

import pytest

from baton.cluster.api_client import ApiClient
from baton.cluster.planner.pages import GatewayPages
from baton.core.errors import SettingsError


class FakeClient:
    """A gateway that says this as its status."""

    url = "http://gateway"

    def __init__(self, status: dict[str, Any]) -> None:
        self._status = status

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/status"
        return self._status


def pages_of(*models: str) -> GatewayPages:
    status = {"workers": [], "models": [{"names": [model]} for model in models]}
    return GatewayPages(cast(ApiClient, FakeClient(status)))


def test_a_gateway_of_one_model_is_planned_for() -> None:
    assert pages_of("one").status()["workers"] == []


def test_a_gateway_of_several_models_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="http://gateway serves several models"):
        pages_of("one", "two").status()
