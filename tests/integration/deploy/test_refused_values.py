"""Values that make no cluster end the render with a sentence for whoever installs."""

from typing import Any

import pytest

from tests.support.chart import merged, objects, values_of
from tests.support.helm4 import ChartRefusedError, Helm4

RAY: dict[str, Any] = {"ray": {"enabled": True}}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "gateways without Redis": (
        {"gateway": {"replicas": 2}},
        "need a registry that all gateways share",
    ),
    "two Redis": (
        {"redis": {"bundled": {"enabled": True}, "existing": {"url": "redis://r"}}},
        "name two registries",
    ),
    "no certificates": ({"clusterTLS": {"enabled": True}}, "needs certificates"),
    "HTTPS without one": ({"gateway": {"tls": {"enabled": True}}}, "needs a certificate"),
    "nobody writes": ({"decode": {"pools": []}}, "nobody to write answers"),
    "two of one name": (
        {"prefill": {"pools": [{"name": "a"}, {"name": "a"}]}},
        "two pools are named a",
    ),
    "names too long": (
        {"fullnameOverride": "x" * 40, "decode": {"pools": [{"name": "y" * 20}]}},
        "longer than 52 characters",
    ),
    "a GPU type without GPUs": (
        {"decode": {"pools": [{"name": "a", "gpu": {"product": "L40S"}}]}},
        "gpu.count is 0",
    ),
    "bounds turned round": (
        {"workers": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
        "minReplicas is above",
    ),
    "several gateways in Ray": (
        {**RAY, "gateway": {"replicas": 2}, "redis": {"bundled": {"enabled": True}}},
        "one `baton up` runs the gateway",
    ),
    "certificates in Ray": (
        {**RAY, "clusterTLS": {"enabled": True, "certManager": {"enabled": True}}},
        "no certificate of clusterTLS is for",
    ),
    "metrics of workers in Ray": (
        {**RAY, "monitoring": {"podMonitor": {"enabled": True}}},
        "podMonitor would find none",
    ),
    "a scaled pool in Ray": (
        {**RAY, "workers": {"autoscaling": {"enabled": True}}},
        "pools of a RayCluster have fixed replicas",
    ),
    "pools of several settings in Ray": (
        {**RAY, "decode": {"pools": [{"name": "a", "settings": {"max-num-seqs": 8}}]}},
        "one set of settings",
    ),
    "pools of several GPUs in Ray": (
        {**RAY, "decode": {"pools": [{"name": "a"}, {"name": "b", "gpu": {"count": 1}}]}},
        "all decode workers take the same of a node",
    ),
    "no hosts": ({"ingress": {"enabled": True}}, "needs ingress.hosts"),
    "no parent": ({"httpRoute": {"enabled": True}}, "needs httpRoute.parentRefs"),
    # and by the schema, with the path
    "an unknown value": ({"gatway": {}}, "gatway"),
    "an unknown flag": ({"workers": {"settings": {"max-num-seq": 1}}}, "max-num-seq"),
    "a flag that the chart sets": ({"gateway": {"settings": {"port": 1}}}, "/gateway/settings"),
    "a flag of the wrong type": (
        {"decode": {"pools": [{"name": "a", "settings": {"max-num-seqs": "many"}}]}},
        "/decode/pools/0/settings/max-num-seqs",
    ),
    "a choice that is none": (
        {"workers": {"settings": {"kv-transport": "pigeon"}}},
        "/workers/settings/kv-transport",
    ),
    "a replica too few": (
        {"prefill": {"pools": [{"name": "a", "replicas": 0}]}},
        "/prefill/pools/0/replicas",
    ),
    "a pool without a name": ({"decode": {"pools": [{"replicas": 2}]}}, "/decode/pools/0"),
    "a name that is no label": ({"decode": {"pools": [{"name": "A B"}]}}, "/decode/pools/0/name"),
    "a password that breaks a URL": (
        {"redis": {"bundled": {"enabled": True, "password": "a/b"}}},
        "/redis/bundled/password",
    ),
    "a planner without anything to hold": (
        {"planner": {"enabled": True}},
        "planner.enabled needs something to hold",
    ),
    "a planner without a bound": (
        {"planner": {"enabled": True, "settings": {"slo-itl-ms": 50}}},
        "planner.enabled needs a bound",
    ),
    "a planner of several pools": (
        {
            "planner": {"enabled": True, "settings": {"slo-itl-ms": 50, "max-workers": 4}},
            "decode": {"pools": [{"name": "a"}, {"name": "b"}]},
        },
        "have one pool at most",
    ),
    "a planner beside an autoscaler": (
        {
            "planner": {"enabled": True, "settings": {"slo-itl-ms": 50, "max-workers": 4}},
            "decode": {"pools": [{"name": "a", "autoscaling": {"enabled": True}}]},
        },
        "decode.pools, a: autoscaling and the planner would both scale it",
    ),
    "a planner that would speak HTTPS": (
        {
            "planner": {"enabled": True, "settings": {"slo-itl-ms": 50, "max-workers": 4}},
            "gateway": {"tls": {"enabled": True, "existingSecret": "there"}},
        },
        "without HTTPS",
    ),
    "an unknown scaler": (
        {"workers": {"autoscaling": {"type": "vpa"}}},
        "/workers/autoscaling/type",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_work_is_refused_with_a_sentence(helm: Helm4, what: str) -> None:
    values, sentence = REFUSED[what]
    with pytest.raises(ChartRefusedError) as caught:
        helm.render(merged(values_of("default"), values))
    assert sentence in str(caught.value)


def test_a_secret_that_nobody_gave_is_made_up(helm: Helm4) -> None:
    made = [objects(helm.render({}))["Secret", "llm-baton"]["data"]["cluster-secret"] for _ in "12"]
    assert made[0] != made[1]
    assert len(made[0]) == 44


def test_the_notes_warn_of_what_is_open(helm: Helm4) -> None:
    assert helm.notes(values_of("default")).count("WARNING") == 3
    assert "WARNING" not in helm.notes(values_of("production"))


def test_the_notes_name_the_status_page_unless_there_is_none(helm: Helm4) -> None:
    assert "http://127.0.0.1:8000/ui" in helm.notes(values_of("default"))
    off = merged(values_of("default"), {"gateway": {"settings": {"disable-status-page": True}}})
    assert "/ui" not in helm.notes(off)
