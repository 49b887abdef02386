"""Deployments are read and scaled, by the words that Kubernetes' API has for it."""

import asyncio
from pathlib import Path

import pytest

from baton.cluster.api_client import ApiClient
from baton.cluster.kubernetes.api import KubernetesApi, Replicas
from baton.cluster.kubernetes.attending import attend
from baton.cluster.kubernetes.orchestrator import KubernetesOrchestrator
from baton.cluster.kubernetes.settings import KubernetesPlannerSettings
from baton.cluster.orchestrator import Stage
from baton.cluster.planner.settings import PlannerSettings
from baton.core.errors import SettingsError, UnavailableError
from baton.core.worker_info import ANSWERING, Role
from tests.support.baton_command import baton
from tests.support.fake_kubernetes import NAMESPACE, FakeKubernetes, fake_kubernetes
from tests.support.fake_status import fake_status

DEPLOYMENTS = {Role.PREFILL: "reads", Role.DECODE: "writes"}


def api_of(fake: FakeKubernetes) -> KubernetesApi:
    return KubernetesApi(fake.url, NAMESPACE, fake.account)


def orchestrator_of(fake: FakeKubernetes) -> KubernetesOrchestrator:
    return KubernetesOrchestrator(api_of(fake), DEPLOYMENTS, lambda line: None)


async def test_what_is_wanted_is_patched_and_what_is_not_ready_is_starting(tmp_path: Path) -> None:
    with fake_kubernetes(tmp_path, reads=1, writes=2) as fake:
        workers = orchestrator_of(fake)
        running = asyncio.create_task(workers.run())
        async with asyncio.timeout(20):
            await workers.until_ready()
        assert [workers.wanted(role) for role in ANSWERING] == [1, 2]
        assert workers.workers() == []
        fake.ready["writes"] = 2
        await workers.scale(Role.DECODE, 4)
        assert fake.patches == [("writes", 4)]
        assert workers.wanted(Role.DECODE) == 4
        starting = workers.workers()
        assert [(one.role, one.stage) for one in starting] == [(Role.DECODE, Stage.STARTING)] * 2
        fake.ready["writes"] = 0
        await workers.look()
        assert len(workers.workers()) == 4
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_is_refused_is_said_with_the_servers_reason(tmp_path: Path) -> None:
    with fake_kubernetes(tmp_path, reads=1, writes=2) as fake:
        workers = orchestrator_of(fake)
        fake.forbidden = True
        with pytest.raises(UnavailableError, match="403: deployments"):
            await workers.scale(Role.DECODE, 3)
        with pytest.raises(SettingsError, match="at least 1 decode workers"):
            await workers.scale(Role.DECODE, 0)
        with pytest.raises(SettingsError, match="Kubernetes chooses which pod goes"):
            await workers.drain("decode-0")
        with pytest.raises(UnavailableError, match="other not found"):
            api_of(fake).replicas("other")
        assert api_of(fake).replicas("writes") == Replicas(2, 2)
        (tmp_path / "token").write_text("of yesterday")
        with pytest.raises(UnavailableError, match="401: Unauthorized"):
            api_of(fake).replicas("writes")
    with pytest.raises(UnavailableError, match="does not answer"):
        api_of(fake).replicas("writes")


def test_a_planner_that_cannot_begin_says_why(tmp_path: Path) -> None:
    on = ("--planner=on", "--slo-itl-ms=50", "--max-workers=9")
    with fake_kubernetes(tmp_path, writes=2) as fake:
        place = (f"--kubernetes-url={fake.url}", f"--service-account={tmp_path}")
        for words, complaint in (
            ((), "a planner that is off does nothing"),
            (on, "--decode-deployment must name"),
            (("--planner=on", "--decode-deployment=writes"), "--slo-ttft-ms or --slo-itl-ms"),
            (
                ("--planner=on", "--slo-itl-ms=50", "--decode-deployment=writes"),
                "--max-workers must say how many",
            ),
            ((*on, *place, "--decode-deployment=gone"), "gone not found"),
            (
                (*on, *place, "--decode-deployment=writes", "--max-decode-workers=1"),
                "the cluster is to begin with 0 prefill + 2 decode, which is outside",
            ),
        ):
            ran = baton("planner", *words)
            assert ran.exit_code in (1, 78)
            assert complaint in ran.stderr


async def test_a_planner_scales_what_a_line_at_the_gateway_asks_for(tmp_path: Path) -> None:
    worker = {"id": "w", "role": "decode", "state": "ready", "address": "h:1", "pid": 1}
    said: list[str] = []
    with (
        fake_kubernetes(tmp_path, writes=1) as fake,
        fake_status([worker], queued=9) as url,
    ):
        settings = KubernetesPlannerSettings(
            decode_deployment="writes",
            kubernetes_url=fake.url,
            service_account=str(tmp_path),
            planning=PlannerSettings(
                planner="on", slo_itl_ms=50.0, max_workers=3, planner_seconds=0.05
            ),
        )
        settings.check()
        planning = asyncio.create_task(attend(settings, ApiClient(url), said.append))
        async with asyncio.timeout(20):
            while not fake.patches:  # noqa: ASYNC110 it is a thread of the server's that knows
                await asyncio.sleep(0.02)
        planning.cancel()
        await asyncio.gather(planning, return_exceptions=True)
    assert fake.patches[0] == ("writes", 2)
    assert any("2 decode workers are wanted. " in line for line in said)
    assert any("9 requests wait for room" in line for line in said)
