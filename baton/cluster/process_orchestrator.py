"""Workers as plain processes of this machine."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from baton.cluster.child_process import Command
from baton.cluster.keeper import GaveUpError, Keeper, Patience, Ready, Voices
from baton.cluster.orchestrator import Pending, RunWorker, Stage, check_count, missing, surplus
from baton.core.errors import SettingsError, UnavailableError
from baton.core.worker_info import Role

TellToDrain = Callable[[str], Awaitable[None]]  # takes an address; raises UnavailableError


class WorkerPlan(Protocol):
    """Names the workers of the beginning and says how any is started."""

    def workers(self) -> list[tuple[str, Role]]: ...

    def worker(self, worker_id: str, role: Role, registry: str, slot: int) -> Command:
        """`slot` is a number that no other worker has meanwhile, the lowest that is free."""
        ...


@dataclass(slots=True)
class _Member:
    """A worker and whatever keeps it alive."""

    told: RunWorker
    slot: int
    keeper: Keeper
    task: "asyncio.Task[None]"


class ProcessOrchestrator:
    """An `Orchestrator`. A worker that was drained by somebody else has left for good, too."""

    def __init__(
        self,
        plan: WorkerPlan,
        voices: Voices,
        hurry: asyncio.Event,
        patience: Patience,
        tell_to_drain: TellToDrain,
    ) -> None:
        self._plan = plan
        self._voices = voices
        self._hurry = hurry
        self._patience = patience
        self._tell_to_drain = tell_to_drain
        self._first = dict(plan.workers())
        self._wanted = {role: list(self._first.values()).count(role) for role in Role}
        self._members: dict[str, _Member] = {}
        self._pending: dict[str, Pending] = {}
        self._unready = set(self._first)
        self._all_ready = asyncio.Event()
        self._failed: asyncio.Future[None] | None = None
        self._registry = ""

    async def run(self, registry: str) -> None:
        self._registry = registry
        self._failed = asyncio.get_running_loop().create_future()
        for name, role in self._first.items():
            self._start(name, role)
        try:
            await self._failed
        finally:
            tasks = [member.task for member in self._members.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until_ready(self) -> None:
        await self._all_ready.wait()

    def wanted(self, role: Role) -> int:
        return self._wanted[role]

    async def scale(self, role: Role, count: int) -> None:
        check_count(role, count)
        self._wanted[role] = count
        for name in [name for name in self._pending if name.startswith(f"{role.value}-")]:
            del self._pending[name]
        for name in missing(role, count, self.workers()):
            self._start(name, role)
        for worker in surplus(role, count, self.workers()):
            await self._let_go(self._members[worker.worker_id])

    async def drain(self, worker_id: str) -> None:
        member = self._members.get(worker_id)
        if member is None:
            known = ", ".join(self._members) or "none"
            raise SettingsError(f"there is no worker {worker_id}; there are {known}")
        role = member.told.role
        if member.told.stage is not Stage.DRAINING:
            check_count(role, self._wanted[role] - 1)
            await self._let_go(member)
            self._wanted[role] -= 1

    def workers(self) -> list[RunWorker]:
        return [member.told for member in self._members.values()]

    def pending(self) -> list[Pending]:
        return list(self._pending.values())

    def _start(self, name: str, role: Role) -> None:
        taken = {member.slot for member in self._members.values()}
        slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)

        def command() -> Command:
            return self._plan.worker(name, role, self._registry, slot)

        keeper = Keeper(
            *(name, command, lambda ready: self._on_ready(name, ready)),
            *(self._voices, self._hurry, self._patience),
            may_leave=True,
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
