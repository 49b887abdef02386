"""The engine's events on the event loop: one wake-up per batch of events, order kept."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

from baton.engine.engine import Engine
from baton.engine.work import EventSink, GiveAwaySink, RoomSink, Work

_Told = TypeVar("_Told")

logger = logging.getLogger(__name__)


class EngineBridge:
    """Submits works and delivers their events on the loop's thread.

    `on_step` is called after each delivery, when the engine's load may have changed: also when an
    aborted work, of which nothing else is heard, has left.
    """

    def __init__(
        self, engine: Engine, loop: asyncio.AbstractEventLoop, on_step: Callable[[], None]
    ) -> None:
        self.engine = engine
        self.failed = asyncio.Event()  # the engine's thread has died; the process must exit
        self._loop = loop
        self._on_step = on_step
        self._lock = threading.Lock()
        self._events: list[tuple[Callable[[Any], None], object]] = []
        self._called = False  # a delivery is on its way
        engine.on_drop(self._call)

    def submit(self, work: Work, sink: EventSink) -> None:
        """Raises RequestError for what never fits. `sink` is called on the loop, in order."""
        take = _in_this_context(sink)
        self.engine.submit(work, lambda event: self._from_engine(take, event))
        self._on_step()

    def abort(self, key: str) -> None:
        self.engine.abort(key)

    def give_away(self, key: str, choice: int, sink: GiveAwaySink) -> None:
        """Raises as the engine does. `sink` is called on the loop, once."""
        take = _in_this_context(sink)
        self.engine.give_away(key, choice, lambda told: self._from_engine(take, told))

    def make_room(
        self, priority: int, count: int, take: Callable[[], bool], sink: RoomSink
    ) -> None:
        """Raises as the engine does. `take` is called on the engine's thread, `sink` on the loop, once."""
        hear = _in_this_context(sink)
        self.engine.make_room(priority, count, take, lambda told: self._from_engine(hear, told))

    def _from_engine(self, take: Callable[[_Told], None], event: _Told) -> None:
        with self._lock:
            self._events.append((take, event))
        self._call()

    def _call(self) -> None:
        with self._lock:
            called, self._called = self._called, True
        if not called and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            events, self._events = self._events, []
            self._called = False
        for take, event in events:
            take(event)
        if not self.engine.alive:
            self.failed.set()
        self._on_step()


def _in_this_context(sink: Callable[[_Told], None]) -> Callable[[_Told], None]:
    """Whatever it logs is about the request of who submits, though the engine's thread calls."""
    context = copy_context()
    return lambda event: context.run(_take, sink, event)


def _take(sink: Callable[[_Told], None], event: _Told) -> None:
    try:
        sink(event)
    except Exception:  # the top of a callback: the others' events must reach them
        logger.exception("An event of the engine was not taken: %s", type(event).__name__)
