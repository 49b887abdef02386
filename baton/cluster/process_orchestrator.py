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
<<<<<<< HEAD
            on_death=lambda: self._note(name, Stage.STARTING),
        )
        told = RunWorker(name, role, Stage.STARTING)
        task = asyncio.create_task(self._kept(name, keeper), name=name)
        self._members[name] = _Member(told, slot, keeper, task)
        task.add_done_callback(lambda _: self._members.pop(name))

    async def _kept(self, name: str, keeper: Keeper) -> None:
        try:
            await keeper.run()
            member = self._members[name]
            if member.told.stage is not Stage.DRAINING:  # somebody else took it out
                self._wanted[member.told.role] -= 1
            self._ready_or_gone(name)
        except GaveUpError as error:
            self._give_up(name, error)

    def _give_up(self, name: str, error: GaveUpError) -> None:
        """Nobody can use a cluster that was never whole; a later worker is only missing."""
        assert self._failed is not None
        if name in self._unready:
            if not self._failed.done():
                self._failed.set_exception(error)
            return
        last = f": {error.last_words[-1]}" if error.last_words else ""
        self._pending[name] = Pending(name, f"{error}{last}")
        self._voices.say(f"{error}{last}; the others go on")

    def _on_ready(self, name: str, ready: Ready) -> None:
        address, metrics = ready.line["address"], ready.line["metrics_url"]
        self._voices.say(
            f"{name} ready: pid {ready.pid}, {address}, {metrics} ({ready.seconds:.1f} s)"
        )
        self._note(name, Stage.READY, address, metrics)
        self._ready_or_gone(name)

    def _ready_or_gone(self, name: str) -> None:
        self._unready.discard(name)
        if not self._unready:
            self._all_ready.set()

    def _note(self, name: str, stage: Stage, address: str = "", metrics_url: str = "") -> None:
        member = self._members[name]
        if member.told.stage is not Stage.DRAINING:
            member.told = replace(
                member.told, stage=stage, address=address, metrics_url=metrics_url
            )

    async def _let_go(self, member: _Member) -> None:
        before = member.told
        member.told = replace(before, stage=Stage.DRAINING)
        member.keeper.let_go()
        if before.stage is Stage.STARTING:  # it serves nobody
            self._ready_or_gone(before.worker_id)
            member.task.cancel()
            return
        try:
            await self._tell_to_drain(before.address)
        except UnavailableError:
            member.told = before
            member.keeper.keep()
            raise
=======
            on_death=vacancy.on_death,
        )
>>>>>>> main
