"""The choices of one request that are on their way to another decode worker."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from baton.core.errors import InternalError
from gateway.serving.attempt import Attempt
from gateway.serving.continuation import Part
from gateway.serving.move import Move
from gateway.serving.mover import Mover
from gateway.serving.request_life import RequestLife

PAUSE = 0.5  # seconds before a choice that found no place, or was refused, is tried again


@dataclass(frozen=True, slots=True)
class Arrival:
    """What goes on with a choice that has left."""

    part: Part
    move: Move


class Moves:
    """A choice has one at a time: it is written by one worker."""

    def __init__(self, mover: Mover, life: RequestLife) -> None:
        self._mover = mover
        self._life = life
        self._ways: dict[int, Arrival] = {}
        self._not_before: dict[int, float] = {}  # on the loop's clock
        self._begun: list[Move] = []

    @property
    def any(self) -> bool:
        """One has begun."""
        return bool(self._begun)

    def look(self, attempt: Attempt, choices: Collection[int]) -> None:
        """Starts those that can go: after tokens of theirs, while their worker drains. One that
        tells none, because it waits or was preempted, cannot go either.
        """
        if not (attempt.decode_worker.drains and attempt.writes):
            return
        now = asyncio.get_running_loop().time()
        for choice in choices:
            way = self._ways.get(choice)
            if way is not None and not way.move.stays:
                continue
            if now >= self._not_before.get(choice, now):
                self._not_before[choice] = now + PAUSE
                self._start(attempt, choice)

    def left(self, choice: int) -> Arrival:
        """Its worker has told that it is gone. Raises InternalError where nobody had asked for it."""
        if choice not in self._ways:
            raise InternalError(f"choice {choice} left, which nobody had asked for")
        return self._ways.pop(choice)

    def stop(self, choices: Collection[int]) -> None:
        """The worker that has these has ended them, or has broken off."""
        for choice in choices:
            if (way := self._ways.pop(choice, None)) is not None:
                way.move.cancel()

    async def settle(self, patience: float) -> None:
        """After the request. Nothing of any of them is left."""
        await asyncio.gather(*(move.settle(patience) for move in self._begun))

    def _start(self, attempt: Attempt, choice: int) -> None:
        parts = self._life.going_on((choice,))
        if not parts:  # its text has ended it
            return
        move = self._mover.move(self._life, attempt, choice, parts[0])
        if move is not None:
            self._ways[choice] = Arrival(parts[0], move)
            self._begun.append(move)
