"""A process is kept alive, and given up when it cannot live."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest

from baton.cluster.child_process import Command
from baton.cluster.keeper import GaveUpError, Keeper, Patience, Ready, Voices
from baton.core.errors import InternalError
from tests.support.fake_processes import (
    fake,
    fake_crash,
    fake_server,
    fake_starting,
    fake_stubborn,
    is_gone,
)


class Scene:
    """A keeper with everything it says and does written down."""

    def __init__(
        self, command: Command, patience: Patience | None = None, may_leave: bool = False
    ) -> None:
        self.said: list[str] = []
        self.heard: list[str] = []
        self.lives: asyncio.Queue[Ready] = asyncio.Queue()
        self.hurry = asyncio.Event()
        voices = Voices(self.said.append, self.heard.append)
        self.keeper = Keeper(
            *("prefill-0", lambda: command, self.lives.put_nowait, voices, self.hurry, patience),
            may_leave,
        )

    async def next_life(self) -> Ready:
        return await asyncio.wait_for(self.lives.get(), 20)

    @contextlib.asynccontextmanager
    async def running(self) -> "AsyncIterator[asyncio.Task[None]]":
        task = asyncio.create_task(self.keeper.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=20)
            assert task.done()


async def test_a_ready_process_is_reported_with_its_line() -> None:
    scene = Scene(fake_server(address="127.0.0.1:1"))
    async with scene.running():
        life = await scene.next_life()
        await asyncio.wait_for(scene.keeper.ready.wait(), 20)
        assert life.line == {"address": "127.0.0.1:1"}
    assert is_gone(life.pid)
    assert scene.said == []


async def test_a_killed_process_is_said_and_started_again() -> None:
    scene = Scene(fake_server())
    async with scene.running():
        first = await scene.next_life()
        os.kill(first.pid, signal.SIGKILL)
        second = await scene.next_life()
        assert second.pid != first.pid
        assert scene.said == ["prefill-0 died (killed by SIGKILL), starting it again in 0.2 s"]
    assert is_gone(second.pid)


async def test_a_process_that_leaves_by_itself_is_started_again() -> None:
    scene = Scene(fake("announce()"))
    async with scene.running():
        await scene.next_life()
        await scene.next_life()
        assert scene.said[0] == "prefill-0 ended (exit code 0), starting it again in 0.2 s"


async def test_one_that_may_leave_and_does_so_in_good_order_is_left_alone() -> None:
    scene = Scene(fake("announce()"), may_leave=True)
    async with scene.running() as task:
        await asyncio.wait_for(asyncio.shield(task), 20)
    assert scene.said == ["prefill-0 has left (exit code 0); it is not started again"]
    assert scene.lives.qsize() == 1


async def test_one_that_may_leave_and_dies_is_started_again() -> None:
    scene = Scene(fake("announce(); sys.exit(1)"), may_leave=True)
    async with scene.running():
        await scene.next_life()
        await scene.next_life()
        assert scene.said[0] == "prefill-0 died (exit code 1), starting it again in 0.2 s"


async def test_a_crash_loop_is_given_up_with_its_last_words() -> None:
    scene = Scene(fake_crash(code=3))
    async with scene.running() as task:
        with pytest.raises(GaveUpError, match="prefill-0 died 3 times") as caught:
            await asyncio.wait_for(asyncio.shield(task), 20)
    assert caught.value.last_words == ("no memory for the model",)
    assert [line.partition(",")[0] for line in scene.said] == ["prefill-0 died (exit code 3)"] * 2


async def test_wrong_settings_are_not_tried_again() -> None:
    scene = Scene(fake_crash(code=os.EX_CONFIG))
    async with scene.running() as task:
        with pytest.raises(GaveUpError, match="prefill-0 cannot start with these settings"):
            await asyncio.wait_for(asyncio.shield(task), 20)
    assert scene.said == []


async def test_a_process_that_never_becomes_ready_is_ended() -> None:
    scene = Scene(fake_starting(), Patience(to_start=0.3))
    async with scene.running() as task:
        with pytest.raises(GaveUpError):
            await asyncio.wait_for(asyncio.shield(task), 20)
    assert scene.said[0] == "prefill-0 is not ready after 0.3 s"


async def test_cancelling_while_it_starts_leaves_nothing() -> None:
    pids: list[int] = []
    started = asyncio.Event()

    def hear(line: str) -> None:
        pids.append(int(line))
        started.set()

    scene = Scene(fake("print(os.getpid()); signal.pause()"))
    keeper = Keeper(
        "prefill-0",
        lambda: fake("print(os.getpid()); signal.pause()"),
        scene.lives.put_nowait,
        Voices(scene.said.append, hear),
        scene.hurry,
    )
    task = asyncio.create_task(keeper.run())
    await asyncio.wait_for(started.wait(), 10)
    task.cancel()
    await asyncio.wait({task}, timeout=20)
    assert task.cancelled()
    assert is_gone(pids[0])


async def test_hurry_kills_a_process_that_would_not_stop() -> None:
    scene = Scene(fake_stubborn(), Patience(to_stop=3600.0))
    async with scene.running() as task:
        life = await scene.next_life()
        task.cancel()
        scene.hurry.set()
    assert is_gone(life.pid)


async def test_a_ready_line_that_is_no_object_is_a_defect() -> None:
    body = "os.write(int(sys.argv[-1].partition('=')[2]), b'yes\\n'); signal.pause()"
    scene = Scene(fake(body))
    async with scene.running() as task:
        with pytest.raises(InternalError, match="'yes', not a JSON object"):
            await asyncio.wait_for(asyncio.shield(task), 20)
