"""Ctrl-C once, and twice."""

import asyncio
import os
import signal

import pytest

from baton.core.interrupts import Interrupts
from tests.support.signals import not_ignored


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_the_first_signal_stops_and_the_second_hurries(number: signal.Signals) -> None:
    with not_ignored(number):
        interrupts = Interrupts()
        interrupts.listen()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(interrupts.stop.wait(), 20)
        assert not interrupts.hurry.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(interrupts.hurry.wait(), 20)


async def test_a_closed_terminal_does_not_stop_what_nohup_started() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        Interrupts().listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
