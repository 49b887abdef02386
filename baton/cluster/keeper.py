"""Keeps one process of the cluster alive."""

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from baton.cluster.child_process import ChildProcess, Command, Exit
from baton.cluster.restart import GiveUp, History
from baton.core.errors import BatonError, InternalError

_LAST_WORDS = 20  # lines


class GaveUpError(BatonError):
    """A process cannot be kept alive. `last_words` are its last lines of output."""

    def __init__(self, reason: str, last_words: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.last_words = last_words


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a process, seconds."""

    to_start: float = 600.0
    to_stop: float = 10.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A process has announced itself."""

    pid: int
    line: dict[str, Any]  # what it wrote
    seconds: float  # since its start


@dataclass(frozen=True, slots=True)
class Voices:
    """Where words go: `say` for our own sentences, `forward` for the children's lines."""

    say: Callable[[str], None]
    forward: Callable[[str], None]


class Keeper:
    """`run()` starts the process and starts it again whenever it dies, until cancelled. One that
    `may_leave` and ends in good order, exit code 0, was told to by somebody: it is left alone.

    `command` is asked before every start. `on_ready` hears of every life that became ready and
    `on_death` of every death that it is started again after; `ready` is set from the first life
    on. `hurry`, once set, turns every stop into a kill.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], Command],
        on_ready: Callable[[Ready], None],
        voices: Voices,
        hurry: asyncio.Event,
        patience: Patience | None = None,
        may_leave: bool = False,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._command = command
        self._on_ready = on_ready
        self._voices = voices
        self._hurry = hurry
        self._patience = patience or Patience()
        self._may_leave = may_leave
        self._on_death = on_death
        self._wanted = True
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self.ready = asyncio.Event()

    def let_go(self) -> None:
        """It is being drained: its next end is its last, however it ends."""
        self._wanted = False

    def keep(self) -> None:
        """It could not be drained."""
        self._wanted = True

    async def run(self) -> None:
        """Returns when the process has left. Raises GaveUpError when it cannot start."""
        history = History()
        while True:
            ready_for, ended = await self._one_life()
            if ready_for is None and ended.code == os.EX_CONFIG:
                # It has said which setting is wrong, as all of its role do, and would say so again.
                raise GaveUpError(f"{self._name} cannot start with these settings", ())
            left = self._may_leave and ready_for is not None and ended.code == 0
            if left or not self._wanted:
                self._voices.say(f"{self._name} has left ({ended}); it is not started again")
                return
            history = history.after_death(ready_for)
            decision = history.decide()
            if isinstance(decision, GiveUp):
                reason = f"{self._name} died {decision.deaths} times before it was ready, giving up"
                raise GaveUpError(reason, tuple(self._last_words))
            self._on_death()
            verb = "ended" if ended.code == 0 else "died"  # somebody told it to stop
            self._voices.say(
                f"{self._name} {verb} ({ended}), starting it again in {decision.delay:g} s"
            )
            await asyncio.sleep(decision.delay)

    async def _one_life(self) -> tuple[float | None, Exit]:
        """For how many seconds it was ready, None if never, and how it ended."""
        self._last_words.clear()
        started = time.monotonic()
        ready_for: float | None = None
        child = ChildProcess.start(self._command(), self._hear)
        try:
            line = await self._announcement(child)
            if line is not None:
                became_ready = time.monotonic()
                self._on_ready(Ready(child.pid, self._parsed(line), became_ready - started))
                self.ready.set()
                await child.wait()
                ready_for = time.monotonic() - became_ready
        finally:
            ended = await child.stop(self._patience.to_stop, self._hurry)
        return ready_for, ended

    async def _announcement(self, child: ChildProcess) -> str | None:
        """The line it became ready with; None when it died first or took too long."""
        try:
            async with asyncio.timeout(self._patience.to_start):
                line = await child.ready()
                if line is None:
                    await child.wait()
                return line
        except TimeoutError:
            self._voices.say(f"{self._name} is not ready after {self._patience.to_start:g} s")
            return None

    def _parsed(self, line: str) -> dict[str, Any]:
        try:
            parsed = json.loads(line)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise InternalError(f"{self._name} announced itself with {line!r}, not a JSON object")
        return parsed

    def _hear(self, line: str) -> None:
        self._last_words.append(line)
        self._voices.forward(line)
