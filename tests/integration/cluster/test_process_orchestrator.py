"""Workers come and go while the cluster runs; the processes are fakes."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from baton.cluster.keeper import GaveUpError, Patience, Voices
from baton.cluster.orchestrator import Stage
from baton.cluster.process_orchestrator import ProcessOrchestrator
from baton.core.errors import SettingsError, UnavailableError
from baton.core.worker_info import ANSWERING, Role
from tests.support.fake_processes import FakePlan, fake_crash, fake_starting


class Scene:
    """`refuses` is what a worker says that cannot be told to drain."""

    def __init__(self, plan: FakePlan) -> None:
        self.plan = plan
        self.refuses = ""
        self.told: list[str] = []
        self._said = asyncio.Event()
        self._lines: list[str] = []
        voices = Voices(self._say, lambda _: None)
        self.workers = ProcessOrchestrator(
            plan, voices, asyncio.Event(), Patience(), self._tell_to_drain
        )

    def _say(self, line: str) -> None:
        self._lines.append(line)
        self._said.set()

    async def _tell_to_drain(self, address: str) -> None:
        if self.refuses:
            raise UnavailableError(self.refuses)
        self.told.append(address)

    async def until_said(self, start: str) -> str:
        """The latest line that begins so."""
        async with asyncio.timeout(20):
            while not (found := [line for line in self._lines if line.startswith(start)]):
                self._said.clear()
                await self._said.wait()
        return found[-1]

    async def pid_of(self, name: str) -> int:
        line = await self.until_said(f"{name} ready: pid ")
        return int(line.removeprefix(f"{name} ready: pid ").partition(",")[0])

    def stages(self) -> dict[str, Stage]:
        return {worker.worker_id: worker.stage for worker in self.workers.workers()}

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110 there is no event
                await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def running(self) -> "AsyncIterator[asyncio.Task[None]]":
        task = asyncio.create_task(self.workers.run("127.0.0.1:1"))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=20)
            assert task.done()
            assert self.workers.workers() == []

    async def ready(self) -> None:
        await asyncio.wait_for(self.workers.until_ready(), 20)


async def test_missing_workers_are_started_with_slots_of_their_own() -> None:
    scene = Scene(FakePlan())
    async with scene.running():
        await scene.ready()
        await scene.workers.scale(Role.DECODE, 3)
        assert scene.workers.wanted(Role.DECODE) == 3
        await scene.pid_of("decode-1")
        await scene.pid_of("decode-2")
        assert set(scene.stages()) == {"prefill-0", "decode-0", "decode-1", "decode-2"}
        assert sorted(scene.plan.slots.values()) == [0, 1, 2, 3]


async def test_a_surplus_worker_is_told_to_drain_and_not_started_again() -> None:
    scene = Scene(FakePlan(ids=("decode-0", "decode-1")))
    async with scene.running():
        await scene.ready()
        pid = await scene.pid_of("decode-1")
        await scene.workers.scale(Role.DECODE, 1)
        assert scene.told == ["127.0.0.1:1"]
        assert scene.stages() == {"decode-0": Stage.READY, "decode-1": Stage.DRAINING}
        os.kill(pid, signal.SIGKILL)  # however it ends
        await scene.until_said("decode-1 has left (killed by SIGKILL)")
        await scene.until(lambda: set(scene.stages()) == {"decode-0"})
        assert scene.workers.wanted(Role.DECODE) == 1


async def test_a_worker_that_cannot_be_told_stays() -> None:
    scene = Scene(FakePlan(ids=("decode-0", "decode-1")))
    scene.refuses = "nobody answers"
    async with scene.running():
        await scene.ready()
        with pytest.raises(UnavailableError, match="nobody answers"):
            await scene.workers.scale(Role.DECODE, 1)
        assert set(scene.stages().values()) == {Stage.READY}
        os.kill(await scene.pid_of("decode-1"), signal.SIGKILL)
        await scene.until_said("decode-1 died (killed by SIGKILL), starting it again")


async def test_a_worker_that_is_still_starting_is_stopped_instead() -> None:
    scene = Scene(FakePlan(odd={"decode-1": fake_starting()}))
    async with scene.running():
        await scene.ready()
        await scene.workers.scale(Role.DECODE, 2)
        assert scene.stages()["decode-1"] is Stage.STARTING
        await scene.workers.scale(Role.DECODE, 1)
        assert scene.told == []
        assert scene.stages()["decode-1"] is Stage.DRAINING


async def test_who_leaves_by_another_hand_is_not_wanted_any_more() -> None:
    scene = Scene(FakePlan(ids=("decode-0", "decode-1")))
    async with scene.running():
        await scene.ready()
        os.kill(await scene.pid_of("decode-0"), signal.SIGTERM)
        await scene.until_said("decode-0 has left (exit code 0)")
        await scene.until(lambda: set(scene.stages()) == {"decode-1"})
        assert scene.workers.wanted(Role.DECODE) == 1
        await scene.workers.scale(Role.DECODE, 2)
        assert set(scene.stages()) == {"decode-0", "decode-1"}


async def test_a_worker_that_serves_in_the_other_role_counts_there() -> None:
    scene = Scene(FakePlan(ids=("prefill-0", "decode-0", "decode-1")))
    async with scene.running():
        await scene.ready()
        for _ in range(2):  # seen again, it is no news
            scene.workers.has_role("decode-1", Role.PREFILL)
        scene.workers.has_role("somebody-else", Role.PREFILL)
        assert [scene.workers.wanted(role) for role in ANSWERING] == [2, 1]
        await scene.workers.scale(Role.PREFILL, 1)  # whoever came last goes
        assert scene.stages()["decode-1"] is Stage.DRAINING
        scene.workers.has_role("decode-1", Role.DECODE)
        assert [scene.workers.wanted(role) for role in ANSWERING] == [1, 1]


async def test_one_worker_is_taken_out_by_its_name() -> None:
    scene = Scene(FakePlan(ids=("decode-0", "decode-1")))
    async with scene.running():
        await scene.ready()
        await scene.workers.drain("decode-0")
        assert scene.stages() == {"decode-0": Stage.DRAINING, "decode-1": Stage.READY}
        assert scene.workers.wanted(Role.DECODE) == 1
        with pytest.raises(SettingsError, match="at least 1 decode"):
            await scene.workers.drain("decode-1")
        with pytest.raises(SettingsError, match="no worker decode-7; there are decode-0, decode-1"):
            await scene.workers.drain("decode-7")


async def test_a_later_worker_that_cannot_start_is_pending_and_tried_again_when_asked() -> None:
    scene = Scene(FakePlan(ids=("decode-0",), odd={"decode-1": fake_crash(os.EX_CONFIG)}))
    async with scene.running() as task:
        await scene.ready()
        await scene.workers.scale(Role.DECODE, 2)
        await scene.until(lambda: bool(scene.workers.pending()))
        (pending,) = scene.workers.pending()
        assert pending.worker_id == "decode-1"
        assert pending.reason == "decode-1 cannot start with these settings"
        assert not task.done()
        scene.plan.odd.clear()
        await scene.until(lambda: set(scene.stages()) == {"decode-0"})
        await scene.workers.scale(Role.DECODE, 2)
        assert scene.workers.pending() == []
        await scene.pid_of("decode-1")


async def test_one_of_the_first_that_cannot_start_ends_it() -> None:
    scene = Scene(FakePlan(ids=("decode-0",), odd={"decode-0": fake_crash(os.EX_CONFIG)}))
    async with scene.running() as task:
        with pytest.raises(GaveUpError, match="decode-0 cannot start with these settings"):
            await asyncio.wait_for(asyncio.shield(task), 20)
