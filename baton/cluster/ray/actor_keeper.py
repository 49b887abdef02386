"""Keeps one worker alive as an actor. Ray starts its process again after a death, on another node if it
must; whatever Ray has given up for good is placed anew.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from ray.exceptions import ActorUnavailableError, RayActorError

from baton.cluster.keeper import GaveUpError, Patience, Ready, Voices
from baton.cluster.kept_workers import Vacancy
from baton.cluster.ray.placement import NameTakenError, Placed
from baton.cluster.ray.worker_actor import NotBegun
from baton.cluster.restart import GiveUp, History

_AGAIN = 0.1  # seconds between tries to reach a process that Ray is starting


@dataclass(frozen=True, slots=True)
class _Life:
    """`ready_for`: seconds, None if it never was. `died`: how; empty when it left in good order.
    `for_good`: Ray does not start it again.
    """

    ready_for: float | None
    died: str = ""
    for_good: bool = False


class Placer(Protocol):
    """What is asked of Ray for one worker."""

    async def place(self) -> Placed:
        """Raises NameTakenError for as long as Ray remembers the last one."""
        ...

    async def remove(self, placed: Placed) -> None:
        """Ends it on the spot."""
        ...

    async def begin_again(self, placed: Placed) -> None:
        """Ends its process; Ray starts another one."""
        ...


class ActorKeeper:
    """A `WorkerKeeper`. `placed` is what it has of Ray just now."""

    def __init__(
        self,
        vacancy: Vacancy,
        placer: Placer,
        voices: Voices,
        hurry: asyncio.Event,
        patience: Patience,
    ) -> None:
        self._vacancy = vacancy
        self._placer = placer
        self._voices = voices
        self._hurry = hurry
        self._patience = patience
        self._wanted = True
        self._serves = False
        self._since = time.monotonic()  # when its life began
        self.placed: Placed | None = None
        self.reached = False  # there is a process

    def let_go(self) -> None:
        self._wanted = False

    def keep(self) -> None:
        self._wanted = True

    async def run(self) -> None:
        history = History()
        while True:
            self.placed = await self._placed()
            try:
                found = await self._lives(self.placed.actor, history)
            finally:
                await self._take_away(self.placed)
            if found is None:
                return
            history, delay = found
            await asyncio.sleep(delay)

    async def _placed(self) -> Placed:
        while True:
            try:
                return await self._placer.place()
            except NameTakenError:
                await asyncio.sleep(_AGAIN)

    async def _lives(self, actor: Any, history: History) -> tuple[History, float] | None:
        """Until Ray gives it up, with how long to wait then; None when it has left. Raises
        GaveUpError.
        """
        name = self._vacancy.worker_id
        while True:
            life = await self._one_life(actor)
            if not life.died or not self._wanted:
                how = f" ({life.died})" if life.died else ""
                self._voices.say(f"{name} has left{how}; it is not started again")
                return None
            history = history.after_death(life.ready_for)
            decision = history.decide()
            if isinstance(decision, GiveUp):
                reason = f"{name} died {decision.deaths} times before it was ready, giving up"
                raise GaveUpError(reason, (life.died,))
            self._vacancy.on_death()
            self._voices.say(f"{name} died ({life.died}), starting it again")
            self._since = time.monotonic()
            if life.for_good:
                return history, decision.delay

    async def _one_life(self, actor: Any) -> _Life:
        became_ready: float | None = None
        self.reached = self._serves = False  # and not at its end: a cancelled one is still told
        try:
            await self._reach(actor)
            async with asyncio.timeout(self._patience.to_start):
                begun = await actor.beginning.remote()
            if isinstance(begun, NotBegun):
                return await self._not_begun(begun)
            became_ready = time.monotonic()
            self._serves = True
            seconds = became_ready - self._since
            self._vacancy.on_ready(Ready(begun.line["pid"], begun.line, seconds))
            await actor.end.remote()
            self._serves = False
            return _Life(None)
        except TimeoutError:
            return _Life(None, f"it is not ready after {self._patience.to_start:g} s", True)
        except RayActorError as error:
            self._serves = False
            ready_for = None if became_ready is None else time.monotonic() - became_ready
            for_good = not isinstance(error, ActorUnavailableError)
            return _Life(ready_for, "its process is gone", for_good)

    async def _reach(self, actor: Any) -> None:
        """Until there is a process, for as long as it may take to find it a place; but one that
        Ray cannot start is a death. Raises TimeoutError and RayActorError.
        """
        async with asyncio.timeout(None) as limit:
            while True:
                try:
                    await actor.hello.remote()
                    self.reached = True
                    return
                except ActorUnavailableError:
                    if limit.when() is None:
                        now = asyncio.get_running_loop().time()
                        limit.reschedule(now + self._patience.to_start)
                    await asyncio.sleep(_AGAIN)

    async def _not_begun(self, begun: NotBegun) -> _Life:
        if begun.hopeless:
            reason = f"{self._vacancy.worker_id} cannot start with these settings"
            raise GaveUpError(reason, (begun.reason,))
        assert self.placed is not None
        await self._placer.begin_again(self.placed)
        return _Life(None, begun.reason)

    async def _take_away(self, placed: Placed) -> None:
        """What still serves is told to stop, and gets its time."""
        self.placed = None
        try:
            if self._serves and not self._hurry.is_set():
                await self._stop(placed.actor)
        finally:
            await self._placer.remove(placed)

    async def _stop(self, actor: Any) -> None:
        """As SIGTERM, then a while, cut short by a hurry."""
        ended = asyncio.create_task(_left(actor))
        hurried = asyncio.create_task(self._hurry.wait())
        try:
            await asyncio.wait(
                {ended, hurried},
                timeout=self._patience.to_stop,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ended.cancel()
            hurried.cancel()


async def _left(actor: Any) -> None:
    with suppress(RayActorError):
        await actor.stop.remote()
        await actor.end.remote()
