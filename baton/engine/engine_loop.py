"""The engine's thread: takes works in, steps while there is something to do, sleeps otherwise."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from baton.core.errors import BatonError, InternalError, RefusedError, UnavailableError
from baton.engine.scheduling.core import Deliver, EngineCore
from baton.engine.work import (
    ChoiceLent,
    EngineEvent,
    EventSink,
    GiveAwaySink,
    RoomSink,
    Work,
    WorkDone,
    WorkFailed,
)
from baton.telemetry.request_context import RequestContext, about

logger = logging.getLogger(__name__)


class LoopState(Enum):
    NEW = "new"  # works queue up until `start`
    RUNNING = "running"  # ends by `stop` or by a failure
    STOPPING = "stopping"  # nothing is taken any more; ends after the steps at hand
    STOPPED = "stopped"
    FAILED = "failed"  # a step raised; the process is expected to exit


@dataclass(frozen=True, slots=True, eq=False)
class _Submit:
    work: Work
    sink: EventSink


@dataclass(frozen=True, slots=True)
class _Abort:
    submit: _Submit  # of this work alone: its key may be somebody else's by then


@dataclass(frozen=True, slots=True, eq=False)
class _GiveAway:
    submit: _Submit  # likewise
    choice: int
    sink: GiveAwaySink


@dataclass(frozen=True, slots=True, eq=False)
class _MakeRoom:
    priority: int
    count: int
    take: Callable[[], bool]
    sink: RoomSink


_Command = _Submit | _Abort | _GiveAway | _MakeRoom


class EngineLoop:
    """Owns the thread, the sinks and the order in which commands reach the core.

    Locking: `_wake` guards state, inbox, works and the flag. It is never held while the core works
    or a sink is called.
    """

    def __init__(self, build_core: Callable[[Deliver], EngineCore]) -> None:
        self._core = build_core(self._deliver)
        self._wake = threading.Condition()
        self._state = LoopState.NEW
        self._inbox: list[_Command] = []
        self._works: dict[str, _Submit] = {}  # by key, until they end
        self.aborts = 0  # works dropped before their end, only grows
        self._changed = False  # something may have become possible since the last step
        self._on_drop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    @property
    def alive(self) -> bool:
        return self._state is LoopState.RUNNING and self._thread.is_alive()

    @property
    def num_works(self) -> int:
        """Works that have not ended."""
        return len(self._works)

    def on_drop(self, callback: Callable[[], None]) -> None:
        """`callback` runs on the engine's thread when an aborted work holds nothing any more."""
        self._on_drop = callback

    def start(self) -> None:
        with self._wake:
            if self._state is not LoopState.NEW:
                raise InternalError(f"the engine cannot start: it is {self._state.value}")
            self._state = LoopState.RUNNING
            self._thread.start()

    def stop(self) -> None:
        """Ends after the step at hand and waits for that; works in flight fail."""
        with self._wake:
            if self._state in (LoopState.NEW, LoopState.RUNNING):
                self._state = LoopState.STOPPING
            self._wake.notify()
        if self._thread.ident is None:
            self._end(LoopState.STOPPED, UnavailableError("the engine has stopped"))
        else:
            self._thread.join()

    def submit(self, work: Work, sink: EventSink) -> None:
        with self._wake:
            if self._state not in (LoopState.NEW, LoopState.RUNNING):
                raise UnavailableError(f"the engine takes no requests: it is {self._state.value}")
            if work.key in self._works:
                raise RefusedError(f"{work.key} is being served already")
            submit = self._works[work.key] = _Submit(work, sink)
            self._inbox.append(submit)
            self._wake.notify()

    def abort(self, key: str) -> None:
        with self._wake:
            if (submit := self._works.get(key)) is not None:
                self._inbox.append(_Abort(submit))
                self._wake.notify()

    def give_away(self, key: str, choice: int, sink: GiveAwaySink) -> None:
        with self._wake:
            if self._state is not LoopState.RUNNING:
                raise UnavailableError(f"the engine gives nothing away: it is {self._state.value}")
            if (submit := self._works.get(key)) is None:
                raise _not_here(key)
            self._inbox.append(_GiveAway(submit, choice, sink))
            self._wake.notify()

    def make_room(
        self, priority: int, count: int, take: Callable[[], bool], sink: RoomSink
    ) -> None:
        with self._wake:
            if self._state is not LoopState.RUNNING:
                raise UnavailableError(f"the engine makes no room: it is {self._state.value}")
            self._inbox.append(_MakeRoom(priority, count, take, sink))
            self._wake.notify()

    def wake(self) -> None:
        """Says that blocks came free: somebody who waits for them may go on.

        Where nobody is here it wakes nobody: the thread would look at nothing, and contend with
        whoever has just given the blocks back, in the middle of a hand-off.
        """
        with self._wake:
            if self._works:
                self._changed = True
                self._wake.notify()

    def _main(self) -> None:
        try:
            self._serve()
        except Exception:
            logger.exception("The engine failed; every request that it had is over")
            self._end(LoopState.FAILED, InternalError("the engine failed"))
        else:
            self._end(LoopState.STOPPED, UnavailableError("the engine has stopped"))

    def _serve(self) -> None:
        busy = True
        while (commands := self._next(busy)) is not None:
            if not all(isinstance(command, _Submit) for command in commands):
                self._core.settle()
            for command in commands:
                self._apply(command)
            busy = self._core.step()
        self._core.settle()

    def _next(self, busy: bool) -> list[_Command] | None:
        """What came in since the last step; None when it is time to end. Sleeps unless busy."""
        with self._wake:
            while not (busy or self._changed or self._inbox or self._ending()):
                self._wake.wait()
            if self._ending():
                return None
            self._changed = False
            commands, self._inbox = self._inbox, []
            return commands

    def _ending(self) -> bool:
        return self._state is not LoopState.RUNNING

    def _apply(self, command: _Command) -> None:
        match command:
            case _Submit(work):
                self._core.submit(work)
            case _Abort(submit) if self._works.get(submit.work.key) is submit:
                self.aborts += 1
                self._core.abort(submit.work.key)
                self._forget(submit.work.key)
                self._on_drop()
            case _GiveAway():
                command.sink(self._given_away(command))
            case _MakeRoom(priority, count, take, sink):
                sink(self._core.make_room(priority, count, take))

    def _given_away(self, command: _GiveAway) -> ChoiceLent | BatonError:
        key = command.submit.work.key
        if self._works.get(key) is not command.submit:
            return _not_here(key)
        try:
            return self._core.give_away(key, command.choice)
        except RefusedError as refused:
            return refused

    def _deliver(self, key: str, event: EngineEvent) -> None:
        sink = self._works[key].sink
        if isinstance(event, WorkDone | WorkFailed):
            self._forget(key)
        sink(event)

    def _forget(self, key: str) -> None:
        with self._wake:
            self._works.pop(key, None)

    def _end(self, state: LoopState, error: BatonError) -> None:
        with self._wake:
            self._state = state  # from here on nothing comes in
        try:
            self._give_everything_back()
        finally:
            for command in self._inbox:
                if isinstance(command, _GiveAway | _MakeRoom):
                    command.sink(error)
            works, self._works = self._works, {}
            for key, submit in works.items():
                self._tell_failed(key, submit.sink, error)

    def _give_everything_back(self) -> None:
        """Also what works hold that the core has not seen yet.

        Those that were to be aborted are told of the end like the others: somebody must be.
        """
        self._core.abandon()
        for command in self._inbox:
            if isinstance(command, _Submit):
                self._apply(command)
        for key in tuple(self._works):
            self._core.abort(key)

    def _tell_failed(self, key: str, sink: EventSink, error: BatonError) -> None:
        try:
            sink(WorkFailed(error))
        except Exception:
            request = RequestContext(key.rpartition("/")[0])
            logger.exception("%s could not be told of its end", key, extra=about(request))


def _not_here(key: str) -> RefusedError:
    return RefusedError(f"{key} is not being served here")
