"""What the chart makes of dashboards and rules: the files as they are, for Helm 4 and 3 alike."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.support import helm3
from tests.support.chart import CHART, merged, objects, values_of
from tests.support.crd_schemas import SPECS
from tests.support.dashboards import FILES, dashboard
from tests.support.helm4 import Helm4
from tests.support.prometheus_rules import groups

ON = {"dashboards": {"enabled": True}, "prometheusRule": {"enabled": True}}
VALUES = merged(values_of("default"), {"monitoring": ON})
RULES = ("PrometheusRule", "llm-baton")
DASHBOARDS = ("ConfigMap", "llm-baton-dashboards")

Rendered = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def rendered(helm: Helm4) -> Rendered:
    return objects(helm.render(VALUES))


def test_every_dashboard_is_in_the_config_map_that_grafana_looks_for(rendered: Rendered) -> None:
    one = rendered[DASHBOARDS]
    kubernetes_validate.validate(one, "1.32", strict=True)
    assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
    found = {name: json.loads(text) for name, text in one["data"].items()}
    assert found == {name: dashboard(name) for name in FILES}


def test_every_rule_is_in_the_prometheus_rule(rendered: Rendered) -> None:
    spec = rendered[RULES]["spec"]
    jsonschema.validate(spec, SPECS["monitoring.coreos.com/v1", "PrometheusRule"])
    assert sorted(spec["groups"], key=_name) == sorted(groups(), key=_name)


def test_helm_3_renders_the_same(rendered: Rendered, tmp_path: Path) -> None:
    found = objects(helm3.render(helm3.helm3(), CHART, VALUES, tmp_path))
    assert {key: found[key] for key in (RULES, DASHBOARDS)} == {
        key: rendered[key] for key in (RULES, DASHBOARDS)
    }


def test_alerts_lead_to_where_the_installation_has_its_runbooks(helm: Helm4) -> None:
    values = merged(VALUES, {"monitoring": {"prometheusRule": {"runbooks": "https://wiki/baton"}}})
    (alert,) = [
        rule
        for group in objects(helm.render(values))[RULES]["spec"]["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "BatonGatewayDown"
    ]
    assert alert["annotations"]["runbook_url"] == "https://wiki/baton#batongatewaydown"


def _name(group: dict[str, Any]) -> str:
    name = group["name"]
    assert isinstance(name, str)
    return name
