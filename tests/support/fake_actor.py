"""A `WorkerActor` and a place for it, without Ray: each life of the process is written down before."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import ActorUnavailableError, RayActorError

from baton.cluster.ray.placement import NameTakenError, Placed
from baton.cluster.ray.worker_actor import Begun, NotBegun


def unavailable() -> RayActorError:
    return ActorUnavailableError("its process is being started", b"0" * 16)


@dataclass
class FakeLife:
    """`unreachable`: tries to reach it that fail first. `beginning` is given or raised. `over` ends
    it: with None in good order, or by an error.
    """

    beginning: Begun | NotBegun | RayActorError
    unreachable: int = 0
    over: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class FakeActor:
    """Each call that fails by an actor's error ends a life, and the next one begins."""

    def __init__(self, *lives: FakeLife) -> None:
        self.lives = list(lives)
        self.told_to_stop = False
        self.hello = _Method(self._hello)
        self.beginning = _Method(self._beginning)
        self.end = _Method(self._end)
        self.stop = _Method(self._stop)

    async def _hello(self) -> None:
        if self.lives[0].unreachable:
            self.lives[0].unreachable -= 1
            raise unavailable()

    async def _beginning(self) -> Begun | NotBegun:
        beginning = self.lives[0].beginning
        if isinstance(beginning, RayActorError):
            del self.lives[0]
            raise beginning
        return beginning

    async def _end(self) -> None:
        life = self.lives[0]
        try:
            await asyncio.shield(life.over)
        except RayActorError:
            if life in self.lives:
                self.lives.remove(life)
            raise

    async def _stop(self) -> None:
        self.told_to_stop = True
        self.lives[0].over.set_result(None)


@dataclass
class _Method:
    call: Callable[[], Coroutine[Any, Any, Any]]

    def remote(self) -> Coroutine[Any, Any, Any]:
        return self.call()


@dataclass
class FakePlacer:
    """Gives these actors, one after the other; `taken` tries fail first."""

    actors: list[FakeActor]
    taken: int = 0
    done: list[str] = field(default_factory=list)

    async def place(self) -> Placed:
        if self.taken:
            self.taken -= 1
            raise NameTakenError
        self.done.append("placed")
        return Placed(None, self.actors.pop(0))

    async def remove(self, placed: Placed) -> None:
        self.done.append("removed")

    async def begin_again(self, placed: Placed) -> None:
        self.done.append("begun again")
        del placed.actor.lives[0]
