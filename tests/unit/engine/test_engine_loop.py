"""The loop's manners: it steps while there is something to do and not once more."""

import threading
from collections.abc import Callable
from typing import cast

from baton.engine.engine_loop import EngineLoop
from baton.engine.scheduling.core import EngineCore
from baton.engine.work import Work
from tests.support.engine_events import PATIENCE, EventLog
from tests.support.engine_works import generate, prompt_of


class CountingCore:
    """Has `work` steps to do after each submit; tells when it finds nothing left."""

    def __init__(self, work: int) -> None:
        self._work = work
        self._left = 0
        self.num_steps = 0
        self.idle = threading.Semaphore(0)

    def submit(self, work: Work) -> None:
        self._left += self._work

    def abort(self, key: str) -> None:
        self._left = 0

    def step(self) -> bool:
        self.num_steps += 1
        if not self._left:
            self.idle.release()
            return False
        self._left -= 1
        return True

    def settle(self) -> None:
        """Each step has landed when it ends."""

    def abandon(self) -> None:
        """Nothing is under way."""

    def wait_until_idle(self) -> None:
        assert self.idle.acquire(timeout=PATIENCE)


def started(core: CountingCore) -> EngineLoop:
    build = cast(Callable[[object], EngineCore], lambda deliver: core)
    loop = EngineLoop(build)
    loop.start()
    return loop


def test_an_idle_engine_does_not_step() -> None:
    core = CountingCore(work=3)
    loop = started(core)
    core.wait_until_idle()  # it looks once when it starts
    loop.submit(generate("a", prompt_of(3)), EventLog())
    core.wait_until_idle()
    loop.wake()
    core.wait_until_idle()
    loop.abort("a")
    core.wait_until_idle()
    loop.wake()  # nobody is here any more
    loop.abort("unknown")
    loop.submit(generate("b", prompt_of(3)), EventLog())
    core.wait_until_idle()
    loop.stop()
    assert core.num_steps == 1 + (3 + 1) + 1 + 1 + (3 + 1)


def test_a_busy_engine_sees_commands_between_two_steps() -> None:
    core = CountingCore(work=1 << 60)
    loop = started(core)
    core.wait_until_idle()
    loop.submit(generate("a", prompt_of(3)), EventLog())
    loop.abort("a")
    core.wait_until_idle()
    loop.stop()
    assert loop.num_works == 0
