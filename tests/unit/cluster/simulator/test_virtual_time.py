"""Code that waits, under a clock that jumps."""

import asyncio
import time

import pytest

from baton.cluster.simulator.virtual_time import run_virtually
from baton.core.errors import InternalError


def test_hours_pass_at_once_and_in_order() -> None:
    async def wait() -> tuple[list[float], float]:
        loop = asyncio.get_running_loop()
        begin, woke = loop.time(), []

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woke.append(loop.time() - begin)

        await asyncio.gather(sleep(7200), sleep(0.001), sleep(3600))
        return woke, time.monotonic() - begin

    woke, monotonic = run_virtually(wait())
    assert woke == pytest.approx([0.001, 3600, 7200])
    assert monotonic == pytest.approx(7200)


def test_a_timeout_is_virtual_too() -> None:
    async def wait() -> str:
        try:
            async with asyncio.timeout(1000):
                await asyncio.sleep(1001)
        except TimeoutError:
            return "too late"
        return "in time"

    assert run_virtually(wait()) == "too late"


def test_what_can_never_happen_is_told() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(InternalError, match="cannot happen any more"):
        run_virtually(wait())


def test_the_real_clock_comes_back() -> None:
    real = time.monotonic

    async def nothing() -> None:
        assert time.monotonic is not real

    run_virtually(nothing())
    assert time.monotonic is real
