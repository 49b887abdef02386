"""The books of an orchestrator: who is wanted, who is there, who is leaving. What keeps one worker alive
is somebody else's: a process here, an actor of Ray there.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from baton.cluster.keeper import GaveUpError, Ready, Voices
from baton.cluster.orchestrator import Pending, RunWorker, Stage, check_count, missing, surplus
from baton.core.errors import SettingsError, UnavailableError
from baton.core.worker_info import Role

TellToDrain = Callable[[str], Awaitable[None]]  # takes an address; raises UnavailableError


class WorkerKeeper(Protocol):
    async def run(self) -> None:
        """Starts the worker again whenever it dies, until cancelled; then it is gone. Returns when
        it has left; raises GaveUpError when it cannot start.
        """
        ...

    def let_go(self) -> None:
        """It is being drained: its next end is its last, however it ends."""
        ...

    def keep(self) -> None:
        """It could not be drained."""
        ...


@dataclass(frozen=True, slots=True)
class Vacancy:
    """A worker to be started, and whom to tell of its lives."""

    worker_id: str
    role: Role
    slot: int  # a number that no other worker has meanwhile, the lowest that is free
    registry: str  # HOST:PORT
    on_ready: Callable[[Ready], None]
    on_death: Callable[[], None]  # it is being started again


@dataclass(slots=True)
class _Member:
    """A worker and whatever keeps it alive."""

    told: RunWorker
    slot: int
    keeper: WorkerKeeper
    task: "asyncio.Task[None]"


class KeptWorkers(ABC):
    """An `Orchestrator`. A worker that was drained by somebody else has left for good, too."""

    def __init__(
        self, first: Mapping[str, Role], voices: Voices, tell_to_drain: TellToDrain
    ) -> None:
        """`first`: who is wanted from the beginning."""
        self._first = dict(first)
        self._voices = voices
        self._tell_to_drain = tell_to_drain
        self._wanted = {role: list(self._first.values()).count(role) for role in Role}
        self._members: dict[str, _Member] = {}
        self._given_up: dict[str, Pending] = {}
        self._unready = set(self._first)
        self._all_ready = asyncio.Event()
        self._failed: asyncio.Future[None] | None = None
        self._registry = ""

    @abstractmethod
    def keeper_of(self, vacancy: Vacancy) -> WorkerKeeper: ...

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
        self._forget_failures(role)
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

    def has_role(self, worker_id: str, role: Role) -> None:
        member = self._members.get(worker_id)
        if member is None or member.told.role is role or member.told.stage is Stage.DRAINING:
            return
        self._wanted[member.told.role] -= 1
        self._wanted[role] += 1
        member.told = replace(member.told, role=role)

    def workers(self) -> list[RunWorker]:
        return [member.told for member in self._members.values()]

    def pending(self) -> list[Pending]:
        return list(self._given_up.values())

    def _forget_failures(self, role: Role) -> None:
        for name in [name for name in self._given_up if name.startswith(f"{role.value}-")]:
            del self._given_up[name]

    def _start(self, name: str, role: Role) -> None:
        taken = {member.slot for member in self._members.values()}
        slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        keeper = self.keeper_of(
            Vacancy(
                *(name, role, slot, self._registry),
                on_ready=lambda ready: self._on_ready(name, ready),
                on_death=lambda: self._note(name, Stage.STARTING),
            )
        )
        told = RunWorker(name, role, Stage.STARTING)
        task = asyncio.create_task(self._kept(name, keeper), name=name)
        self._members[name] = _Member(told, slot, keeper, task)
        task.add_done_callback(lambda task: self._over(name, task))

    async def _kept(self, name: str, keeper: WorkerKeeper) -> None:
        try:
            await keeper.run()
            member = self._members[name]
            if member.told.stage is not Stage.DRAINING:  # somebody else took it out
                self._wanted[member.told.role] -= 1
            self._ready_or_gone(name)
        except GaveUpError as error:
            self._give_up(name, error)

    def _over(self, name: str, task: "asyncio.Task[None]") -> None:
        del self._members[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        assert self._failed is not None
        if not self._failed.done():
            self._failed.set_exception(error)

    def _give_up(self, name: str, error: GaveUpError) -> None:
        """Nobody can use a cluster that was never whole; a later worker is only missing."""
        if name in self._unready:
            self._fail(error)
            return
        last = f": {error.last_words[-1]}" if error.last_words else ""
        self._given_up[name] = Pending(name, f"{error}{last}")
        self._voices.say(f"{error}{last}; the others go on")

    def _on_ready(self, name: str, ready: Ready) -> None:
        address, metrics = ready.line["address"], ready.line["metrics_url"]
        self._voices.say(
            f"{name} ready: pid {ready.pid}, {address}, {metrics} ({ready.seconds:.1f} s)"
        )
        self._note(name, Stage.READY, address, metrics, ready.line.get("node", ""))
        self._ready_or_gone(name)

    def _ready_or_gone(self, name: str) -> None:
        self._unready.discard(name)
        if not self._unready:
            self._all_ready.set()

    def _note(
        self, name: str, stage: Stage, address: str = "", metrics_url: str = "", node: str = ""
    ) -> None:
        member = self._members[name]
        if member.told.stage is not Stage.DRAINING:
            member.told = replace(
                member.told, stage=stage, address=address, metrics_url=metrics_url, node=node
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
