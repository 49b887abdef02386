"""The chart's schema says what the templates read and the processes take."""

import json

import pytest
import yaml

from baton.settings import settings_of
from baton.worker.settings import WorkerSettings
from deploy.helm import values_schema
from deploy.helm.values_schema import OWNED_BY_GATEWAY, OWNED_BY_WORKER, flags
from gateway.settings import GatewaySettings
from tests.support.chart import CHART


def test_the_schema_is_fresh() -> None:
    assert values_schema.FILE.read_text("utf-8") == values_schema.text(), "run `make settings-page`"


@pytest.mark.parametrize(
    ("kind", "owned"), [(GatewaySettings, OWNED_BY_GATEWAY), (WorkerSettings, OWNED_BY_WORKER)]
)
def test_a_flag_is_set_by_the_chart_or_may_be_set_by_its_user(
    kind: type[object], owned: frozenset[str]
) -> None:
    names = {one.flag.removeprefix("--") for one in settings_of(kind)}
    assert owned <= names, "the chart sets flags that are not there any more"
    assert names - owned == set(flags(kind, owned)["properties"])


def test_no_secret_goes_into_a_config_map() -> None:
    for kind, owned in ((GatewaySettings, OWNED_BY_GATEWAY), (WorkerSettings, OWNED_BY_WORKER)):
        secrets = {one.flag.removeprefix("--") for one in settings_of(kind) if one.marked("secret")}
        assert secrets <= owned


def test_every_value_that_is_in_the_schema_has_a_default() -> None:
    """So that values.yaml shows all there is."""
    schema = json.loads(values_schema.text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert _missing(schema, defaults, "") == {
        "global",
        "gateway.resources.claims",
        "workers.resources.claims",
        "redis.bundled.resources.claims",
        "planner.resources.claims",
        "ray.head.resources.claims",
        *(f"clusterTLS.certManager.issuerRef.{name}" for name in ("name", "kind", "group")),
        *(f"gateway.tls.certManager.issuerRef.{name}" for name in ("name", "kind", "group")),
    }


def _missing(schema: dict[str, object], value: object, path: str) -> set[str]:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or path.endswith("settings"):
        return set()
    assert isinstance(value, dict)
    found = set()
    for name, inner in properties.items():
        where = f"{path}.{name}".lstrip(".")
        found |= _missing(inner, value[name], where) if name in value else {where}
    return found
