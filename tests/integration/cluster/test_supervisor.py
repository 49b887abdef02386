"""A cluster of fake processes: its order, its restarts, its end."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from baton.cluster.keeper import GaveUpError, Patience, Voices
from baton.cluster.process_orchestrator import ProcessOrchestrator
from baton.cluster.supervisor import Supervisor
from tests.support.fake_processes import (
    FakePlan,
    fake_crash,
    fake_leaving,
    fake_starting,
    is_gone,
)


async def nobody_drains(address: str) -> None:
    raise AssertionError(f"{address} was told to drain")


class Scene:
    def __init__(self, plan: FakePlan) -> None:
        self.plan = plan
        self.said: list[str] = []
        self.heard: list[str] = []
        self._changed = asyncio.Event()
        self._foreign = set(_children())  # of other tests' fixtures
        voices = Voices(self._say, self._hear)
        hurry, patience = asyncio.Event(), Patience()
        workers = ProcessOrchestrator(plan, voices, hurry, patience, nobody_drains)
        self.supervisor = Supervisor(plan, workers, voices, hurry, patience)

    def _say(self, line: str) -> None:
        self.said.append(line)
        self._changed.set()

    def _hear(self, line: str) -> None:
        self.heard.append(line)
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def until_said(self, start: str, times: int = 1) -> str:
        def matching() -> list[str]:
            return [line for line in self.said if line.startswith(start)]

        await self.until(lambda: len(matching()) >= times)
        return matching()[-1]

    async def pid_of(self, worker: str, life: int = 1) -> int:
        line = await self.until_said(f"{worker} ready: pid ", life)
        return int(line.removeprefix(f"{worker} ready: pid ").partition(",")[0])

    @contextlib.asynccontextmanager
    async def running(self) -> "AsyncIterator[asyncio.Task[None]]":
        task = asyncio.create_task(self.supervisor.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=20)
            assert task.done()
            assert self.children() == set()

    def children(self) -> set[int]:
        return set(_children()) - self._foreign


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as listed:
        return [int(pid) for pid in listed.read().split()]


async def test_all_start_at_once_and_the_invitation_comes_last() -> None:
    scene = Scene(FakePlan())
    async with scene.running():
        await scene.until_said("  curl ")
    ready = {line.partition(" ")[0] for line in scene.said[:3]}
    assert ready == {"gateway", "prefill-0", "decode-0"}
    assert any(
        re.fullmatch(r"gateway ready at http://127.0.0.1:8123 \(\d+\.\d s\)", line)
        for line in scene.said[:3]
    )
    assert scene.said[3] == "endpoint: http://127.0.0.1:8123/v1"
    (_, _, registry_port) = scene.plan.asked[0]
    assert scene.plan.asked == [
        ("gateway", "0", registry_port),
        ("prefill-0", f"127.0.0.1:{registry_port}"),
        ("decode-0", f"127.0.0.1:{registry_port}"),
    ]


async def test_workers_do_not_wait_for_the_gateway() -> None:
    scene = Scene(FakePlan(odd={"gateway": fake_starting()}))
    async with scene.running():
        await scene.until_said("prefill-0 ready")
        await scene.until_said("decode-0 ready")
        assert not any("endpoint" in line for line in scene.said)


async def test_workers_serve_until_the_gateway_has_ended() -> None:
    scene = Scene(FakePlan(odd={name: fake_leaving(name) for name in ("gateway", "decode-0")}))
    async with scene.running() as task:
        await scene.until_said("  curl ")
        task.cancel()
        await asyncio.wait({task}, timeout=20)
    assert scene.heard == ["gateway told", "gateway leaves", "decode-0 told", "decode-0 leaves"]


async def test_a_restarted_gateway_takes_its_ports_again() -> None:
    scene = Scene(FakePlan(ids=("decode-0",)))
    async with scene.running():
        worker = await scene.pid_of("decode-0")
        await scene.until_said("gateway ready")
        (gateway,) = scene.children() - {worker}
        os.kill(gateway, signal.SIGKILL)
        await scene.until_said("gateway ready", times=2)
        (_, _, registry_port), _, again = scene.plan.asked
        assert again == ("gateway", "8123", registry_port)
        assert worker in scene.children()


async def test_a_dead_worker_comes_back_without_disturbing_the_others() -> None:
    scene = Scene(FakePlan())
    async with scene.running():
        prefill, decode = await scene.pid_of("prefill-0"), await scene.pid_of("decode-0")
        os.kill(prefill, signal.SIGKILL)
        again = await scene.pid_of("prefill-0", life=2)
        assert again != prefill
        assert decode in scene.children()


async def test_a_worker_that_cannot_start_ends_everything() -> None:
    scene = Scene(FakePlan(odd={"decode-0": fake_crash()}))
    async with scene.running() as task:
        with pytest.raises(GaveUpError, match="decode-0 died 3 times"):
            await asyncio.wait_for(asyncio.shield(task), 20)
        assert scene.children() == set()
    assert not any("endpoint" in line for line in scene.said)


async def test_a_gateway_that_cannot_start_ends_everything() -> None:
    scene = Scene(FakePlan(odd={"gateway": fake_crash()}))
    async with scene.running() as task:
        with pytest.raises(GaveUpError, match="gateway died 3 times"):
            await asyncio.wait_for(asyncio.shield(task), 20)
        assert scene.children() == set()
    assert not any("endpoint" in line for line in scene.said)


async def test_stopping_while_a_worker_still_loads_leaves_nothing() -> None:
    scene = Scene(FakePlan(odd={"decode-0": fake_starting()}))
    async with scene.running() as task:
        prefill = await scene.pid_of("prefill-0")
        await scene.until(lambda: "loading" in scene.heard)
        task.cancel()
        await asyncio.wait({task}, timeout=20)
        assert task.cancelled()
        assert is_gone(prefill)
