"""A worker in Ray is kept alive, and given up when it cannot live. Ray is a fake."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from ray.exceptions import ActorDiedError

from baton.cluster.keeper import GaveUpError, Patience, Ready, Voices
from baton.cluster.kept_workers import Vacancy
from baton.cluster.ray.actor_keeper import ActorKeeper
from baton.cluster.ray.worker_actor import Begun, NotBegun
from baton.core.worker_info import Role
from tests.support.fake_actor import FakeActor, FakeLife, FakePlacer, unavailable

BEGUN = Begun({"pid": 7, "address": "10.0.0.1:1", "metrics_url": "http://x/"})


class Scene:
    def __init__(self, *actors: FakeActor, taken: int = 0, to_start: float = 60.0) -> None:
        self.placer = FakePlacer(list(actors), taken)
        self.said: list[str] = []
        self.lives: asyncio.Queue[Ready] = asyncio.Queue()
        self.deaths = 0
        vacancy = Vacancy(
            *("decode-0", Role.DECODE, 0, "127.0.0.1:1"), self.lives.put_nowait, self._die
        )
        voices = Voices(self.said.append, self.said.append)
        self.hurry = asyncio.Event()
        self.keeper = ActorKeeper(vacancy, self.placer, voices, self.hurry, Patience(to_start))

    def _die(self) -> None:
        self.deaths += 1

    async def ready(self) -> Ready:
        return await asyncio.wait_for(self.lives.get(), 10)

    @contextlib.asynccontextmanager
    async def running(self) -> "AsyncIterator[asyncio.Task[None]]":
        task = asyncio.create_task(self.keeper.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=10)
            assert task.done()
            assert self.placer.done[0] == "placed"
            assert self.placer.done[-1] == "removed"


async def test_it_is_reported_when_it_serves_and_told_to_stop_at_the_end() -> None:
    actor = FakeActor(FakeLife(BEGUN, unreachable=1))
    scene = Scene(actor, taken=1)
    async with scene.running():
        ready = await scene.ready()
        assert (ready.pid, ready.line) == (7, BEGUN.line)
        assert not actor.told_to_stop
    assert actor.told_to_stop


async def test_a_hurried_end_asks_nobody() -> None:
    actor = FakeActor(FakeLife(BEGUN))
    scene = Scene(actor)
    async with scene.running():
        await scene.ready()
        scene.hurry.set()
    assert not actor.told_to_stop


async def test_a_process_that_ray_starts_again_keeps_its_place() -> None:
    first, second = FakeLife(BEGUN), FakeLife(BEGUN, unreachable=2)
    scene = Scene(FakeActor(first, second))
    async with scene.running():
        await scene.ready()
        first.over.set_exception(unavailable())
        await scene.ready()
        assert scene.said == ["decode-0 died (its process is gone), starting it again"]
        assert scene.deaths == 1
        assert scene.placer.done == ["placed"]


async def test_an_actor_that_ray_has_given_up_is_placed_anew() -> None:
    first = FakeLife(BEGUN)
    scene = Scene(FakeActor(first), FakeActor(FakeLife(BEGUN)))
    async with scene.running():
        await scene.ready()
        first.over.set_exception(ActorDiedError())
        await scene.ready()
        assert scene.placer.done == ["placed", "removed", "placed"]


async def test_wrong_settings_are_not_tried_again() -> None:
    scene = Scene(FakeActor(FakeLife(NotBegun("--model m: there is no such folder", True))))
    async with scene.running() as task:
        with pytest.raises(GaveUpError, match="decode-0 cannot start with these settings") as told:
            await asyncio.wait_for(asyncio.shield(task), 10)
    assert told.value.last_words == ("--model m: there is no such folder",)


async def test_one_that_never_serves_is_given_up_with_the_last_reason() -> None:
    failing = NotBegun("MemoryError: no room", False)
    lives = [FakeLife(failing), FakeLife(unavailable()), FakeLife(failing)]
    scene = Scene(FakeActor(*lives))
    async with scene.running() as task:
        with pytest.raises(GaveUpError, match="decode-0 died 3 times before") as told:
            await asyncio.wait_for(asyncio.shield(task), 10)
    assert told.value.last_words == ("MemoryError: no room",)
    assert scene.placer.done == ["placed", "begun again", "begun again", "removed"]


async def test_a_process_that_ray_cannot_start_is_placed_anew() -> None:
    scene = Scene(
        FakeActor(FakeLife(BEGUN, unreachable=10**6)), FakeActor(FakeLife(BEGUN)), to_start=0.3
    )
    async with scene.running():
        await scene.ready()
        assert scene.said == ["decode-0 died (it is not ready after 0.3 s), starting it again"]


async def test_one_that_was_drained_is_left_alone() -> None:
    life = FakeLife(BEGUN)
    scene = Scene(FakeActor(life))
    async with scene.running() as task:
        await scene.ready()
        life.over.set_result(None)
        await asyncio.wait_for(asyncio.shield(task), 10)
    assert scene.said == ["decode-0 has left; it is not started again"]


async def test_one_that_dies_while_it_drains_has_left() -> None:
    life = FakeLife(BEGUN)
    scene = Scene(FakeActor(life))
    async with scene.running() as task:
        await scene.ready()
        scene.keeper.let_go()
        life.over.set_exception(unavailable())
        await asyncio.wait_for(asyncio.shield(task), 10)
    assert scene.said == ["decode-0 has left (its process is gone); it is not started again"]
