"""One step after the other: schedule, run, postprocess. It knows no thread; `EngineLoop` has one."""

import time
from collections.abc import Callable

from baton.engine.decision import CopyBlock, Decision, ZeroBlock, ZeroTail
from baton.engine.plan import Runner
from baton.engine.scheduler import Scheduler
from baton.engine.step_meter import StepMeter
from baton.engine.storage import BlockMemory
from baton.engine.work import ChoiceLent, EngineEvent, Work

Deliver = Callable[[str, EngineEvent], None]  # (key of the work, event)


class EngineCore:
    """Performs what the scheduler decides. Called by one thread."""

    def __init__(
        self,
        scheduler: Scheduler,
        runner: Runner,
        pool: BlockMemory,
        deliver: Deliver,
        meter: StepMeter | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._pool = pool
        self._deliver = deliver
        self._meter = meter or StepMeter()

    def submit(self, work: Work) -> None:
        self._perform(self._scheduler.submit(work))

    def abort(self, key: str) -> None:
        self._scheduler.abort(key)

    def give_away(self, key: str, choice: int) -> ChoiceLent:
        """Between two steps. Raises RefusedError, and nothing changed."""
        decision, lent = self._scheduler.give_away(key, choice)
        self._perform(decision)
        return lent

    def make_room(self, priority: int, count: int, take: Callable[[], bool]) -> bool:
        """Between two steps."""
        return self._scheduler.make_room(priority, count, take)

    def step(self) -> bool:
        """False when there was nothing to compute."""
        began = time.perf_counter()
        decision = self._scheduler.schedule()
        self._perform(decision)
        if not decision.plan.slices:
            self._runner.rest()
            return False
        results = self._runner.run(decision.plan)
        self._perform(self._scheduler.postprocess(decision.plan, results))
        self._meter.note(decision.plan, time.perf_counter() - began)
        return True

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
