"""What the chart renders, by Helm 4 and 3, held to Kubernetes' own schemas and to renders that were read."""

import json
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest

from baton.cluster.up_settings import UpSettings
from baton.settings import SettingsCommand, options
from tests.support import helm3
from tests.support.chart import CASES, CHART, GOLDEN, objects, pod_specs, ray_groups, values_of
from tests.support.crd_schemas import SPECS
from tests.support.helm4 import Helm4

KUBERNETES = "1.32"


@pytest.mark.parametrize("case", CASES)
def test_it_lints_and_renders_what_was_read(helm: Helm4, case: str) -> None:
    assert helm.lint(values_of(case)) == []
    golden = (GOLDEN / f"{case}.yaml").read_text("utf-8")
    assert helm.render(values_of(case)) == golden, "read the difference, then run `make chart`"


@pytest.mark.parametrize("case", CASES)
def test_helm_3_renders_the_same_objects(case: str, tmp_path: Path) -> None:
    program, values = helm3.helm3(), values_of(case)
    assert "0 chart(s) failed" in helm3.lint(program, CHART, values, tmp_path)
    golden = objects((GOLDEN / f"{case}.yaml").read_text("utf-8"))
    assert objects(helm3.render(program, CHART, values, tmp_path)) == golden


@pytest.mark.parametrize("case", CASES)
def test_kubernetes_and_its_operators_know_every_field(case: str) -> None:
    for (kind, name), one in golden(case).items():
        spec = SPECS.get((one["apiVersion"], kind))
        if spec is None:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
        else:
            assert one.keys() == {"apiVersion", "kind", "metadata", "spec"}, name
            jsonschema.validate(one["spec"], spec)
        for group, pods in (ray_groups(one) if kind == "RayCluster" else {}).items():
            pod = {"apiVersion": "v1", "kind": "Pod", **pods}
            pod["metadata"] = {"name": group, **pods["metadata"]}
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_what_objects_say_of_each_other_is_there(case: str) -> None:
    found = golden(case)
    names = {kind: {name for k, name in found if k == kind} for kind, _ in found}
    pods = [
        one["spec"]["template"]["metadata"]["labels"]
        for (kind, _), one in found.items()
        if kind in ("Deployment", "StatefulSet")
    ]
    for (kind, _), one in found.items():
        if kind == "RayCluster":
            pods += [group["metadata"]["labels"] for group in ray_groups(one).values()]
    for (kind, name), one in found.items():
        spec = one.get("spec", {})
        if kind == "Service":
            assert any(spec["selector"].items() <= labels.items() for labels in pods), name
        if kind in ("PodDisruptionBudget", "PodMonitor", "Deployment"):
            wanted = spec["selector"]["matchLabels"]
            assert any(wanted.items() <= labels.items() for labels in pods), name
        if kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = spec["scaleTargetRef"]
            assert target["name"] in names[target["kind"]]
            assert "replicas" not in found[target["kind"], target["name"]]["spec"]
    for name, spec in pod_specs(found).items():
        _check_volumes(name, spec, names)


def _check_volumes(name: str, spec: dict[str, Any], names: dict[str, set[str]]) -> None:
    """Every mount has its volume; what the chart itself makes is made."""
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    for container in spec["containers"]:
        for mount in container.get("volumeMounts", []):
            assert mount["name"] in volumes or name.endswith("-redis"), (name, mount)
    for volume in volumes.values():
        if "configMap" in volume:
            assert volume["configMap"]["name"] in names["ConfigMap"]
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in names["PersistentVolumeClaim"]


@pytest.mark.parametrize("case", CASES)
def test_no_container_may_do_more_than_it_needs(case: str) -> None:
    """But for those that a user adds."""
    for name, spec in pod_specs(golden(case)).items():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert "hostNetwork" not in spec
        for container in own(spec):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("case", CASES)
def test_a_pod_lives_for_as_long_as_its_process_may_take_to_end(case: str) -> None:
    for spec in pod_specs(golden(case)).values():
        for container in own(spec):
            said = [a for a in container.get("args", []) if a.startswith("--shutdown-seconds=")]
            sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
            for flag in said:
                seconds = int(flag.partition("=")[2]) + sleep.get("seconds", 0)
                assert spec["terminationGracePeriodSeconds"] >= seconds + 10


@pytest.mark.parametrize("case", CASES)
def test_ports_of_one_pod_differ_and_probes_name_one(case: str) -> None:
    for spec in pod_specs(golden(case)).values():
        ports = [port for container in own(spec) for port in container.get("ports", [])]
        assert len({port["name"] for port in ports}) == len(ports)
        assert len({port["containerPort"] for port in ports}) == len(ports)
        for container in own(spec):
            names = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = container.get(probe, {})
                for how in ("httpGet", "tcpSocket"):
                    assert asked.get(how, {}).get("port", next(iter(names), "")) in {*names, ""}


def test_the_planner_may_scale_the_pools_that_it_is_told_and_nothing_else() -> None:
    found = golden("planner")
    pools = ["llm-baton-decode-default", "llm-baton-prefill-default"]
    rules = found["Role", "llm-baton-planner"]["rules"]
    assert [rule["resourceNames"] for rule in rules] == [pools, pools]
    assert [(rule["resources"], rule["verbs"]) for rule in rules] == [
        (["deployments"], ["get"]),
        (["deployments/scale"], ["patch"]),
    ]
    [container] = pod_specs(found)["llm-baton-planner"]["containers"]
    for pool in pools:
        role = pool.split("-")[2]
        assert f"--{role}-deployment={pool}" in container["args"]
        assert "replicas" not in found["Deployment", pool]["spec"]


def test_an_empty_value_of_a_pool_wins_over_the_common_one() -> None:
    found = golden("everything")
    assert ("PodDisruptionBudget", "big-prefill-b") not in found
    pod = found["Deployment", "big-prefill-b"]["spec"]["template"]["spec"]
    assert "nvidia.com/gpu" not in str(pod["containers"][0]["resources"])
    assert "nodeSelector" not in pod
    last = found["Deployment", "big-decode-b"]["spec"]["template"]["spec"]
    assert "--shutdown-seconds=0" in last["containers"][0]["args"]


def test_in_ray_one_baton_up_places_as_many_workers_as_nodes_have_room_for() -> None:
    found = golden("ray")
    assert {name for kind, name in found if kind == "Deployment"} == {"llm-baton-gateway"}
    (up,) = found["Deployment", "llm-baton-gateway"]["spec"]["template"]["spec"]["containers"]
    flags = dict(word[2:].split("=", 1) for word in up["args"] if word.startswith("--"))
    settings = read(up["args"])
    assert (settings.orchestrator, settings.ray.ray_address) == ("ray", "auto")
    groups = found["RayCluster", "llm-baton-ray"]["spec"]["workerGroupSpecs"]
    for role, needed in (
        ("prefill", settings.ray.ray_prefill_resources),
        ("decode", settings.ray.ray_decode_resources),
    ):
        own = [group for group in groups if group["groupName"].startswith(role)]
        room = [json.loads(json.loads(group["rayStartParams"]["resources"])) for group in own]
        assert room == [{role: 1}] * len(own)
        assert needed == {role: 1, "GPU": 1}
        assert int(flags[f"{role}-workers"]) == sum(group["replicas"] for group in own)


def read(words: list[str]) -> UpSettings:
    """As `baton up` reads them."""
    found: list[UpSettings] = []
    command = click.command(cls=SettingsCommand)(options(UpSettings)(found.append))
    command.main(words[1:], standalone_mode=False)
    return found[0]


def golden(case: str) -> dict[tuple[str, str], dict[str, Any]]:
    return objects((GOLDEN / f"{case}.yaml").read_text("utf-8"))


def own(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [container for container in spec["containers"] if container["name"] != "beside"]
