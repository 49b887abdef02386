"""A planner in a pod: looks at a gateway, scales the Deployments of the workers."""

import asyncio
from pathlib import Path

from baton.cluster.api_client import ApiClient
from baton.cluster.kubernetes.api import KubernetesApi
from baton.cluster.kubernetes.orchestrator import KubernetesOrchestrator
from baton.cluster.kubernetes.settings import KubernetesPlannerSettings
from baton.cluster.planner.driver import Driver, Say
from baton.cluster.planner.pages import GatewayPages
from baton.cluster.planner.planner import Planner
from baton.cluster.planner.settings import DRY_RUN
from baton.cluster.planner.size import Size
from baton.core.worker_info import Role


async def attend(settings: KubernetesPlannerSettings, client: ApiClient, say: Say) -> None:
    """Until cancelled. Raises SettingsError where the Deployments are outside the limits, and
    UnavailableError where Kubernetes does not answer at the start.
    """
    api = KubernetesApi(
        settings.kubernetes_url, settings.found_namespace(), Path(settings.service_account)
    )
    orchestrator = KubernetesOrchestrator(api, settings.deployments, say)
    await orchestrator.look()
    size = Size(orchestrator.wanted(Role.PREFILL), orchestrator.wanted(Role.DECODE))
    planning = settings.planning
    planner = Planner(planning.goals, planning.limits(size), planning.pace, can_flip=False)
    driver = Driver(
        *(planner, GatewayPages(client), say, planning.planner_seconds, orchestrator),
        dry_run=planning.planner == DRY_RUN,
    )
    say(f"planner: {size} are wanted now; limits {planning.limits(size).told}")
    async with asyncio.TaskGroup() as group:
        group.create_task(orchestrator.run())
        group.create_task(driver.run())
