"""Workers as plain processes of this machine."""

import asyncio
from typing import Protocol

from baton.cluster.child_process import Command
from baton.cluster.keeper import Keeper, Patience, Voices
from baton.cluster.kept_workers import KeptWorkers, TellToDrain, Vacancy
from baton.core.worker_info import Role


class WorkerPlan(Protocol):
    """Names the workers of the beginning and says how any is started."""

    def workers(self) -> list[tuple[str, Role]]: ...

    def worker(self, worker_id: str, role: Role, registry: str, slot: int) -> Command:
        """`slot` is a number that no other worker has meanwhile, the lowest that is free."""
        ...


class ProcessOrchestrator(KeptWorkers):
    def __init__(
        self,
        plan: WorkerPlan,
        voices: Voices,
        hurry: asyncio.Event,
        patience: Patience,
        tell_to_drain: TellToDrain,
    ) -> None:
        super().__init__(dict(plan.workers()), voices, tell_to_drain)
        self._plan = plan
        self._hurry = hurry
        self._patience = patience

    def keeper_of(self, vacancy: Vacancy) -> Keeper:
        def command() -> Command:
            return self._plan.worker(
                *(vacancy.worker_id, vacancy.role, vacancy.registry, vacancy.slot)
            )

        return Keeper(
            *(vacancy.worker_id, command, vacancy.on_ready),
            *(self._voices, self._hurry, self._patience),
            may_leave=True,
            on_death=vacancy.on_death,
        )
