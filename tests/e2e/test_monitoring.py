"""A cluster with a Prometheus of its own, under load: every panel and every rule has something to show."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from tests.support.cluster import RunningCluster, running_cluster
from tests.support.dashboards import panel_queries
from tests.support.programs import needed
from tests.support.prometheus import PrometheusClient
from tests.support.prometheus_rules import rules
from tests.support.promql import selectors

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]
KEY, LIMITED = "sk-test", "sk-limited"
TENANTS = {"tenants": [{"name": "limited", "keys": [LIMITED], "requests_per_minute": 1}]}
SHOWN = 40.0  # seconds until everything is


class Load:
    """Requests of every kind, again and again: handed over and not, streamed, too many, not allowed."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)
        self._asked = 0

    async def run(self) -> None:
        async with self._http, asyncio.TaskGroup() as group:
            for mode in ("disaggregated", "aggregated"):
                group.create_task(self._again(KEY, mode))
            group.create_task(self._again(LIMITED, "auto"))
            group.create_task(self._bursts())

    async def _again(self, key: str, mode: str) -> None:
        while True:
            await self._ask(key, mode)

    async def _bursts(self) -> None:
        while True:
            await asyncio.gather(*(self._ask(KEY, "auto") for _ in range(12)))

    async def _ask(self, key: str, mode: str) -> None:
        self._asked += 1
        own = [100 + (self._asked + i) % 200 for i in range(32)]  # what no worker has cached yet
        body = {
            "prompt": [*range(100, 148), *own],
            "max_tokens": 8,
            "kv_transfer_params": {"mode": mode},
            "stream": True,
        }
        headers = {"Authorization": f"Bearer {key}"}
        await self._http.post("/v1/completions", json=body, headers=headers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded(
    slow_hash_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningCluster]:
    needed("prometheus", "prometheus")
    tenants = tmp_path_factory.mktemp("tenants") / "tenants.yaml"
    tenants.write_text(yaml.safe_dump(TENANTS))
    told: dict[str, Any] = {
        "with_prometheus": True,
        "placement_policy": "auto",
        "api_key": (KEY,),
        "tenants_file": tenants,
        "max_num_seqs": 2,
        "max_queued_requests": 4,
    }
    async with running_cluster(slow_hash_model, **told) as cluster:
        load = asyncio.create_task(Load(cluster.url).run())
        try:
            yield cluster
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="module")
async def prometheus(loaded: RunningCluster) -> AsyncIterator[PrometheusClient]:
    line = await loaded.until_said("metrics: ", 30)
    async with PrometheusClient(line.split()[1]) as client:
        yield client


async def unshown(prometheus: PrometheusClient, queries: Iterable[str]) -> set[str]:
    """Those that give no number by the end of the time that all of them have."""
    left = set(queries)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SHOWN):
            while left:
                for query in sorted(left):
                    if any(math.isfinite(one.value) for one in await prometheus.ask(query)):
                        left.discard(query)
                await asyncio.sleep(0.5)
    return left


async def test_every_query_of_every_dashboard_shows_something(prometheus: PrometheusClient) -> None:
    queries = {query.asked(): query for query in panel_queries()}
    assert [str(queries[query]) for query in await unshown(prometheus, queries)] == []


async def test_every_rule_reads_what_is_there(prometheus: PrometheusClient) -> None:
    """What a healthy cluster's alerts find is nothing; but it must be there to be looked for."""
    read = {selector for rule in rules() for selector in selectors(rule["expr"])}
    recorded = {rule["expr"] for rule in rules() if "record" in rule}
    assert await unshown(prometheus, read | recorded) == set()


async def test_all_rules_are_loaded_and_none_fails(prometheus: PrometheusClient) -> None:
    found = [rule for group in await prometheus.rule_groups() for rule in group["rules"]]
    assert len(found) == len(rules())
    assert [(rule["name"], rule["lastError"]) for rule in found if rule.get("lastError")] == []


async def test_one_model_name_selects_all_that_has_vllm_s_names(
    prometheus: PrometheusClient,
) -> None:
    """Dashboards made for vLLM ask for one, of gateways and workers alike."""
    names = 'count by (model_name) ({__name__=~"vllm:.*"})'
    assert len(await prometheus.ask(names)) == 1
    pages = await prometheus.ask('count by (job) ({__name__=~"vllm:.*"})')
    assert {one.labels["job"] for one in pages} == {"baton-gateway", "baton-workers"}
