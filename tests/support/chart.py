"""The chart, the values that it is tested with, and what it renders. `python -m tests.support.chart` writes
the golden renders anew.
"""

from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from tests.support.helm4 import Values, helm4

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "baton"
GOLDEN = ROOT / "tests" / "golden" / "chart"
# Without these each render would make up new ones.
FIXED: Values = {
    "clusterSecret": {"value": "a-secret-for-tests"},
    "redis": {"bundled": {"password": "a-password-for-tests"}},
}
CASES = ("default", "cpu", "gpu", "production", "everything", "pairs", "ray", "planner")


def values_of(case: str) -> Values:
    shipped = CHART / f"values-{case}.yaml"
    file = shipped if shipped.exists() else GOLDEN / f"{case}.values.yaml"
    own: Values = {} if case == "default" else yaml.safe_load(file.read_text("utf-8"))
    return merged(FIXED, own)


def merged(*layers: Values) -> Values:
    """As Helm merges files of values: maps grow together, everything else is replaced."""
    return reduce(_over, layers, {})


def _over(below: Values, above: Values) -> Values:
    result = dict(below)
    for key, value in above.items():
        both_maps = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _over(result[key], value) if both_maps else value
    return result


def objects(rendered: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, name) -> object. Two objects of one name are an error."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in yaml.safe_load_all(rendered):
        if one is not None:
            key = (one["kind"], one["metadata"]["name"])
            assert key not in found, f"two objects are called {key}"
            found[key] = one
    return found


def pod_specs(found: dict[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name of each object that makes pods (or is one) -> the pods' spec."""
    specs = {}
    for (kind, name), one in found.items():
        if kind in ("Deployment", "StatefulSet"):
            specs[name] = one["spec"]["template"]["spec"]
        elif kind == "Pod":
            specs[name] = one["spec"]
        elif kind == "RayCluster":
            groups = ray_groups(one)
            specs |= {f"{name}-{group}": pods["spec"] for group, pods in groups.items()}
    return specs


def ray_groups(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of each group of a RayCluster -> the template of its pods."""
    spec = cluster["spec"]
    workers = {group["groupName"]: group["template"] for group in spec["workerGroupSpecs"]}
    return {"head": spec["headGroupSpec"]["template"], **workers}


def main() -> None:
    with helm4(CHART) as helm:
        for case in CASES:
            (GOLDEN / f"{case}.yaml").write_text(helm.render(values_of(case)), "utf-8")


if __name__ == "__main__":
    main()
