"""The engine's events on the event loop: none is lost to another, and every change is told."""

import asyncio

import pytest

from baton.engine.work import EngineEvent, WorkDone
from baton.worker.bridge import EngineBridge
from tests.support.engine_events import PATIENCE
from tests.support.engine_running import HeldRunner, engine_config, running_engine
from tests.support.engine_works import generate, prompt_of, sampled

pytestmark = pytest.mark.unit


async def test_a_work_that_was_aborted_is_heard_of_when_it_has_left() -> None:
    stepped = asyncio.Event()
    with running_engine(engine_config()) as engine:
        promised = engine.blocks.reserve(engine.blocks.total)  # so that the work has to wait
        assert promised is not None
        bridge = EngineBridge(engine, asyncio.get_running_loop(), stepped.set)
        bridge.submit(generate("a", prompt_of(40)), lambda event: None)
        stepped.clear()
        bridge.abort("a")
        async with asyncio.timeout(PATIENCE):
            await stepped.wait()
        assert engine.load().waiting == 0
        promised.cancel()


async def test_a_sink_that_raises_keeps_no_event_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(event: EngineEvent) -> None:
        raise ValueError("nobody listens")

    runner, done = HeldRunner(), asyncio.Event()
    with running_engine(engine_config(), runner) as engine:
        bridge = EngineBridge(engine, asyncio.get_running_loop(), lambda: None)
        bridge.submit(generate("a", prompt_of(3), sampled(1)), broken)
        bridge.submit(
            generate("b", prompt_of(3), sampled(1)),
            lambda event: done.set() if isinstance(event, WorkDone) else None,
        )
        runner.let_go.set()
        async with asyncio.timeout(PATIENCE):
            await done.wait()
    assert "nobody listens" in caplog.text
