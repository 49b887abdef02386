"""Where a worker is placed, and the sentence for one that cannot be."""

import pytest

from baton.cluster.ray.placing import partner_node, why_waiting
from baton.core.worker_info import Role

P, D = Role.PREFILL, Role.DECODE


def test_a_worker_goes_where_one_of_the_other_role_has_no_partner() -> None:
    assert partner_node(D, []) is None
    assert partner_node(D, [(D, "a")]) is None
    assert partner_node(D, [(P, "a")]) == "a"
    assert partner_node(D, [(P, "a"), (P, "b"), (D, "a")]) == "b"
    assert partner_node(P, [(D, "a"), (D, "a"), (D, "b")]) == "a"
    assert partner_node(D, [(P, "a"), (D, "a")]) is None


@pytest.mark.parametrize(
    ("needed", "reason"),
    [
        ({"GPU": 1}, "it needs 1 GPU, and no node of the Ray cluster has GPU"),
        ({"CPU": 12}, "it needs 12 CPU on one node, and no node has more than 8"),
        ({"CPU": 4, "slot": 0.5}, "it needs 0.5 slot, and 0.25 of 2 slot are free"),
        ({"CPU": 8, "slot": 0.25}, "it needs 8 CPU and 0.25 slot on one node"),
    ],
)
def test_who_waits_is_told_what_is_missing(needed: dict[str, float], reason: str) -> None:
    nodes = [{"CPU": 8.0, "slot": 1.0}, {"CPU": 4.0, "slot": 1.0}]
    free = {"CPU": 8.0, "slot": 0.25}
    assert why_waiting(needed, nodes, free).startswith(reason)


def test_in_a_cluster_without_nodes_everything_is_missing() -> None:
    assert "no node of the Ray cluster has CPU" in why_waiting({"CPU": 1.0}, [], {})
