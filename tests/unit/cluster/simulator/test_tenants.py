"""Tenants of a simulation: the gateway's file, its limits and its fair shares, under a virtual clock."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from baton.cluster.outcomes import Objectives, Outcome, summarise
from baton.cluster.outcomes.report import as_text
from baton.cluster.outcomes.summary import by_tenant
from baton.cluster.simulator.profile import read_profile
from baton.cluster.simulator.simulation import Cluster, simulate
from baton.cluster.simulator.tenant import EVERYBODY, tenants_of
from baton.cluster.traces import load_trace
from baton.core.errors import SettingsError

PROFILE = replace(read_profile("llama-8b-h100"), num_blocks=4000)
CLUSTER = Cluster(1, 2, PROFILE, max_queued=200, max_queue_seconds=60)
NONE = Objectives()


def written(folder: Path, *tenants: str) -> Path:
    file = folder / "tenants.yaml"
    file.write_text("tenants:\n" + "".join(f"  - {{{one}}}\n" for one in tenants))
    return file


def outcomes(trace: str, folder: Path, *tenants: str, seed: int = 1) -> Sequence[Outcome]:
    whose = tenants_of((), written(folder, *tenants))
    return simulate(load_trace(trace, seed), CLUSTER, NONE, seed, tenants=whose).outcomes


def test_weights_share_the_tokens_of_a_full_cluster(tmp_path: Path) -> None:
    """Requests of unequal sizes, each tenant asks for more than its share."""
    seen = outcomes(
        "poisson:rate=40,in=4000,out=300,spread=0.6,seconds=60",
        tmp_path,
        "name: a, keys: [x], weight: 3",
        "name: b, keys: [y], weight: 1",
    )
    full = [one for one in seen if one.first is not None and 10 < one.first < 60]
    tokens = {
        name: sum(o.input_tokens + o.output_tokens for o in full if o.tenant == name)
        for name in "ab"
    }
    assert tokens["a"] / tokens["b"] == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize(
    ("limit", "granted"),
    [
        ("requests_per_minute: 60", 60 + 60),  # a minute's worth, and what comes in a minute
        ("tokens_per_minute: 12000", (12_000 + 12_000) / 120),
        ("concurrent_requests: 1", None),
    ],
)
def test_limits_refuse_by_name_and_only_their_tenant(
    limit: str, granted: float | None, tmp_path: Path
) -> None:
    seen = outcomes(
        "poisson:rate=10,in=100,out=20,seconds=60",
        tmp_path,
        f"name: limited, keys: [x], {limit}",
        "name: free, keys: [y]",
    )
    parts = by_tenant(seen, NONE)
    limited, free = parts["limited"], parts["free"]
    assert set(limited.reasons) == {limit.split(":")[0]}
    assert limited.refused == limited.reasons[limit.split(":")[0]] > 0
    assert free.refused == 0
    if granted is not None:
        assert limited.done == pytest.approx(granted, rel=0.05)
    text = "\n".join(as_text(summarise(seen, NONE), parts, NONE))
    assert f"refusals    {limited.refused} {limit.split(':')[0]}, Retry-After" in text
    assert "tenant free" in text


def test_tenants_of_a_file_share_no_prefix(tmp_path: Path) -> None:
    trace = load_trace("shared-prefix:rate=1,prefixes=1,prefix=4096,in=64,out=8,seconds=30", 1)
    two = tenants_of((), written(tmp_path, "name: a, keys: [x]", "name: b, keys: [y]"))
    for tenants, firsts in ((EVERYBODY,), ["all"]), (two, ["a", "b"]):
        found = simulate(trace, Cluster(1, 1, PROFILE), NONE, 1, tenants=tenants)
        assert sorted(one.tenant for one in found.outcomes if not one.cached_tokens) == firsts


def test_equal_seeds_are_equal_runs(tmp_path: Path) -> None:
    tenants = "name: a, keys: [x], tokens_per_minute: 9000", "name: b, keys: [y], weight: 2"
    spec = "bursts:rate=4,in=300,out=40,spread=0.5,seconds=40"
    runs = [
        repr(by_tenant(outcomes(spec, tmp_path, *tenants, seed=seed), NONE)) for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_urgent_requests_go_first() -> None:
    trace = load_trace("poisson:rate=40,in=4000,out=300,spread=0.6,seconds=30", 1)
    waits = {}
    for priority in (0, -10):
        whose = tenants_of(["few:1:" + str(priority), "many:9"], None)
        seen = simulate(trace, CLUSTER, NONE, 1, tenants=whose).outcomes
        few = by_tenant(seen, NONE)["few"]
        assert few.ttft is not None
        waits[priority] = few.ttft.p90
        assert few.requests == sum(one.tenant == "few" for one in seen)
    assert waits[-10] < 0.5 * waits[0]


def test_who_is_named_has_its_share(tmp_path: Path) -> None:
    file = written(tmp_path, "name: a, keys: [x], weight: 2", "name: b, keys: [y]")
    [only] = tenants_of(["b:3:-5"], file)
    assert (only.name, only.share, only.priority, only.known.tenant.weight) == ("b", 3, -5, 1)
    assert [one.name for one in tenants_of((), file)] == ["a", "b"]
    assert tenants_of((), None) == (EVERYBODY,)
    [unknown] = tenants_of(["c"], None)
    assert not unknown.known.tenant.quota.is_limited


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["c"], "has no such tenant, but a"),
        (["a:0"], "NAME:SHARE"),
        (["a:1:x"], "PRIORITY is a whole number"),
        (["a:1:1:1"], "NAME:SHARE:PRIORITY"),
        ([":1"], "NAME:SHARE"),
        (["a", "a:2"], "a is there twice"),
    ],
)
def test_who_cannot_be_a_tenant_is_told(said: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=told):
        tenants_of(said, written(tmp_path, "name: a, keys: [x]"))
