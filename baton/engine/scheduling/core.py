"""Steps, of which one may be begun while another is under way: schedule, run, postprocess.

It knows no thread; `EngineLoop` has one.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from baton.engine.blocks.storage import BlockMemory
from baton.engine.decision import CopyBlock, Decision, ZeroBlock, ZeroTail
from baton.engine.plan import StepPlan
from baton.engine.scheduling.flight import Flight, Launcher
from baton.engine.scheduling.scheduler import Scheduler
from baton.engine.scheduling.step_meter import StepMeter
from baton.engine.work import ChoiceLent, EngineEvent, Work

Deliver = Callable[[str, EngineEvent], None]  # (key of the work, event)


@dataclass(frozen=True, slots=True)
class _Begun:
    plan: StepPlan
    flight: Flight
    at: float  # seconds, when it began to be decided


class EngineCore:
    """Performs what the scheduler decides. Called by one thread."""

    def __init__(
        self,
        scheduler: Scheduler,
        launcher: Launcher,
        pool: BlockMemory,
        deliver: Deliver,
        meter: StepMeter | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._launcher = launcher
        self._pool = pool
        self._deliver = deliver
        self._meter = meter or StepMeter()
        self._begun: deque[_Begun] = deque()  # the first to land first
        self._landed_at = 0.0  # seconds, when the last one had

    def submit(self, work: Work) -> None:
        """At any time: it comes in when nothing is under way."""
        self._perform(self._scheduler.submit(work))

    def abort(self, key: str) -> None:
        """Once all has landed it holds nothing any more."""
        self._scheduler.abort(key)

    def give_away(self, key: str, choice: int) -> ChoiceLent:
        """Once all has landed. Raises RefusedError, and nothing changed."""
        decision, lent = self._scheduler.give_away(key, choice)
        self._perform(decision)
        return lent

    def make_room(self, priority: int, count: int, take: Callable[[], bool]) -> bool:
        """Once all has landed."""
        return self._scheduler.make_room(priority, count, take)

    def step(self) -> bool:
        """Begins what can be begun, and waits for one step. False: there was nothing to compute."""
        while len(self._begun) < self._launcher.depth and self._begin():
            pass
        if not self._begun:
            self._launcher.rest()
            return False
        self._land()
        return True

    def settle(self) -> None:
        """Until nothing is under way."""
        while self._begun:
            self._land()

    def abandon(self) -> None:
        """After a failure: waits for what is under way, whatever comes of it, and forgets it."""
        for begun in self._begun:
            with suppress(Exception):
                begun.flight.results()
        self._begun.clear()
        self._scheduler.forget_steps()

    def _begin(self) -> bool:
        """False: not now."""
        at = time.perf_counter()
        if self._begun:
            decision = self._scheduler.ahead(self._launcher.foresees)
        else:
            decision = self._scheduler.schedule()
        self._perform(decision)
        if not decision.plan.slices:
            return False
        self._begun.append(_Begun(decision.plan, self._launcher.launch(decision.plan), at))
        return True

    def _land(self) -> None:
        begun = self._begun.popleft()
        results = begun.flight.results()
        self._perform(self._scheduler.postprocess(begun.plan, results))
        now = time.perf_counter()
        self._meter.note(begun.plan, now - max(begun.at, self._landed_at))
        self._landed_at = now

    def _perform(self, decision: Decision) -> None:
        for op in decision.memory:
            match op:
                case ZeroBlock(block):
                    self._pool.zero_block(block)
                case CopyBlock(source, target):
                    self._pool.copy_block(source, target)
                case ZeroTail(block, num_tokens):
                    self._pool.zero_tail(block, num_tokens)
        for key, event in decision.events:
            self._deliver(key, event)
