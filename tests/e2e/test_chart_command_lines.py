"""Each container of the chart, started with the flags and variables that were rendered, and probed as rendered."""

import asyncio
import re
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from baton.cluster.demo_model import FOLDER
from tests.support.certificates import make_authority
from tests.support.chart import CHART, merged, objects, pod_specs, values_of
from tests.support.container import (
    Host,
    Objects,
    RunningContainer,
    image_programs,
    reserved_row,
    running,
)
from tests.support.helm4 import helm4
from tests.support.programs import needed

SMALL = {"kv-cache-memory-bytes": "64MiB", "threads": 1}
WAY = ("startupProbe", "readinessProbe", "livenessProbe")


def rendered(case: str, *layers: dict[str, Any]) -> Objects:
    with helm4(CHART) as helm:
        return objects(helm.render(merged(values_of(case), *layers)))


def workers_at(first: int, apart: int = 1) -> dict[str, Any]:
    """Values by which workers take ports from `first` on."""
    ports = {"grpc": first, "kv": first + apart, "metrics": first + 2 * apart}
    return {"workers": {"ports": ports, "settings": SMALL}}


def local(tmp_path: Path, **names: str) -> dict[str, str]:
    return {
        "/opt/baton/demo": str(FOLDER),
        "/models": str(tmp_path / "models"),
        "/tmp/triton": str(tmp_path / "triton"),
        **names,
    }


async def started(
    stack: AsyncExitStack, host: Host, found: Objects, programs: Path, *pods: str
) -> dict[str, RunningContainer]:
    """Every container of these pods."""
    here = {}
    for pod in pods:
        spec = pod_specs(found)[pod]
        for one in spec["containers"]:
            started = running(host, f"{pod}-x", spec, one, programs)
            here[f"{pod} {one['name']}"] = await stack.enter_async_context(started)
    return here


async def probed(*crowd: RunningContainer) -> None:
    for probe in WAY:
        for one in crowd:
            await one.until_probed(probe)


async def asked(host: Host, found: Objects, programs: Path) -> str:
    """What the pod of `helm test` says."""
    (container,) = pod_specs(found)["llm-baton-test"]["containers"]
    environment = host.environment("llm-baton-test", container)
    done = await asyncio.to_thread(
        subprocess.run,
        host.words(container, environment),
        env={"PATH": f"{programs}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


async def test_a_gateway_that_keeps_the_registry_and_workers_that_find_it(tmp_path: Path) -> None:
    programs = image_programs(tmp_path / "bin")
    async with AsyncExitStack() as stack:
        first = stack.enter_context(
            reserved_row(8)
        )  # what pods have each for themselves is shared here
        gateway = {"gateway": {"port": first, "registryPort": first + 1}}
        keys = {"apiKeys": {"values": ["a key", "b,c"]}}
        found = rendered("cpu", gateway, keys, workers_at(first + 2))
        others = rendered("cpu", gateway, keys, workers_at(first + 5))
        names = {
            "llm-baton-registry.serving.svc.cluster.local": "127.0.0.1",
            "llm-baton-gateway.serving.svc.cluster.local:80": f"127.0.0.1:{first}",
        }
        host = Host(found, tmp_path, local(tmp_path, **names))
        here = await started(
            stack, host, found, programs, "llm-baton-gateway", "llm-baton-prefill-cpu"
        )
        here |= await started(stack, host, others, programs, "llm-baton-decode-cpu")
        await probed(*here.values())

        said = await asked(host, found, programs)

        assert re.search(r"llm-baton-prefill-cpu-x +prefill +ready", said)
        assert re.search(r"llm-baton-decode-cpu-x +decode +ready", said)
        assert metrics_of_triggers() <= await exported(here), "KEDA asks for what nobody exports"


async def exported(here: dict[str, RunningContainer]) -> set[str]:
    """Names of all samples on the pages that the monitors scrape."""
    pages = [
        await one.page("http" if "gateway" in name else "metrics", "/metrics")
        for name, one in here.items()
    ]
    return {re.split(r"[ {]", line)[0] for page in pages for line in page.splitlines()}


def metrics_of_triggers() -> set[str]:
    scaled = [one for (kind, _), one in rendered("everything").items() if kind == "ScaledObject"]
    queries = [one["metadata"]["query"] for s in scaled for one in s["spec"]["triggers"]]
    names = {name for query in queries for name in re.findall(r"([a-z_:]+)\{", query)}
    assert len(names) == 3
    return names


async def test_mutual_tls_and_redis_and_workers_of_one_pod(tmp_path: Path) -> None:
    needed("redis-server", "redis-server")
    programs = image_programs(tmp_path / "bin")
    authority = make_authority(tmp_path / "tls")
    domain = "llm-baton-workers.serving.svc.localhost"  # names that every resolver knows end so
    shown = authority.issue("cluster", f"DNS:*.{domain}")
    folder = tmp_path / "secret"
    folder.mkdir()
    for name, file in (("tls.crt", shown.cert), ("tls.key", shown.key), ("ca.crt", authority.cert)):
        (folder / name).write_bytes(file.read_bytes())
    async with AsyncExitStack() as stack:
        first = stack.enter_context(reserved_row(8))
        found = rendered(
            "cpu",
            {"clusterDomain": "localhost", "redis": {"bundled": {"enabled": True}}},
            {"clusterTLS": {"enabled": True, "existingSecrets": {"gateway": "g", "worker": "w"}}},
            {"gateway": {"port": first}, "prefill": {"pools": []}, "decode": {"pools": []}},
            {"pair": {"pools": [{"name": "p", "prefillWorkers": 1, "decodeWorkers": 1}]}},
            workers_at(first + 1, apart=2),
        )
        names = {
            "/etc/baton/tls": str(folder),
            "llm-baton-redis:6379": f"127.0.0.1:{first + 7}",
            "6379": str(first + 7),
            "redis-cli": f"redis-cli -p {first + 7}",
            "/data": str(tmp_path),
            "llm-baton-gateway.serving.svc.localhost:80": f"127.0.0.1:{first}",
        }
        host = Host(found, tmp_path, local(tmp_path, **names))
        (redis,) = (await started(stack, host, found, programs, "llm-baton-redis")).values()
        password = {"REDISCLI_AUTH": "a-password-for-tests"}
        await redis.until_exec_says_yes("readinessProbe", password)
        here = await started(stack, host, found, programs, "llm-baton-gateway", "llm-baton-pair-p")
        await probed(*here.values())

        said = await asked(host, found, programs)

        assert re.search(r"llm-baton-pair-p-x-prefill-0 +prefill +ready", said)
        assert re.search(r"llm-baton-pair-p-x-decode-1 +decode +ready", said)
        assert f"127-0-0-1.{domain}" in said
