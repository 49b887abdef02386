"""A planner for the cluster of a `baton up`."""

import os

from baton.cluster.api_client import ApiClient
from baton.cluster.cluster_access import ClusterAccess
from baton.cluster.orchestrator import Orchestrator
from baton.cluster.planner.driver import Driver, Say
from baton.cluster.planner.pages import GatewayPages
from baton.cluster.planner.planner import Planner
from baton.cluster.planner.settings import DRY_RUN
from baton.cluster.up_settings import UpSettings
from baton.core.worker_info import Role


def driver_of(
    settings: UpSettings, orchestrator: Orchestrator, url: str, access: ClusterAccess, say: Say
) -> Driver:
    planning, gateway = settings.planning, settings.gateway
    key = next(iter(gateway.api_key or ()), "")

    async def tell_to_flip(address: str, role: Role) -> None:
        os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"  # its handlers disturb starting processes
        from baton.cluster import told_worker  # who never changes a role need not wait for gRPC

        await told_worker.tell_to_flip(address, role, access)

    return Driver(
        Planner(planning.goals, planning.limits(settings.size), planning.pace),
        GatewayPages(ApiClient(url, key, gateway.tls.ssl_certfile or "")),
        say,
        planning.planner_seconds,
        orchestrator,
        tell_to_flip,
        dry_run=planning.planner == DRY_RUN,
    )
