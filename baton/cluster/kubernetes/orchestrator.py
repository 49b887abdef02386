"""An orchestrator whose workers Kubernetes runs: one Deployment for each role."""

import asyncio
from collections.abc import Callable, Mapping

from baton.cluster.kubernetes.api import KubernetesApi, Replicas
from baton.cluster.orchestrator import Pending, RunWorker, Stage, check_count
from baton.core.errors import SettingsError, UnavailableError
from baton.core.worker_info import Role

LOOK = 2.0  # seconds between two looks at the Deployments


class KubernetesOrchestrator:
    """Kubernetes chooses which pods go, and ends them by SIGTERM, which drains a worker. So a worker
    keeps its role: a Deployment would not know of another one.
    """

    def __init__(
        self, api: KubernetesApi, deployments: Mapping[Role, str], say: Callable[[str], None]
    ) -> None:
        self._api = api
        self._deployments = deployments
        self._say = say
        self._replicas: dict[Role, Replicas] = {}
        self._seen = asyncio.Event()
        self._trouble = ""

    async def run(self, registry: str = "") -> None:
        """Follows the Deployments until cancelled; workers know their registry from their chart."""
        while True:
            try:
                await self.look()
                self._trouble = ""
            except UnavailableError as error:
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    self._say(self._trouble)
            await asyncio.sleep(LOOK)

    async def look(self) -> None:
        """Raises UnavailableError."""
        for role, name in self._deployments.items():
            self._replicas[role] = await asyncio.to_thread(self._api.replicas, name)
        self._seen.set()

    async def until_ready(self) -> None:
        """Until the Deployments were seen: whether their pods are ready is Kubernetes' to see to."""
        await self._seen.wait()

    def wanted(self, role: Role) -> int:
        found = self._replicas.get(role)
        return 0 if found is None else found.wanted

    async def scale(self, role: Role, count: int) -> None:
        check_count(role, count)
        if role not in self._deployments:
            raise SettingsError(f"there is no Deployment of {role.value} workers")
        await asyncio.to_thread(self._api.scale, self._deployments[role], count)
        await self.look()

    async def drain(self, worker_id: str) -> None:
        raise SettingsError(
            f"Kubernetes chooses which pod goes: scale its Deployment instead of draining {worker_id}"
        )

    def has_role(self, worker_id: str, role: Role) -> None:
        """A Deployment counts its pods, whatever role somebody has given one of them by hand."""

    def workers(self) -> list[RunWorker]:
        """Only those that no gateway knows yet: the pods that are wanted and not ready."""
        return [
            RunWorker(f"{self._deployments[role]}/{number}", role, Stage.STARTING)
            for role, found in self._replicas.items()
            for number in range(max(0, found.wanted - found.ready))
        ]

    def pending(self) -> list[Pending]:
        return []
