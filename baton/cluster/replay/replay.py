"""A replay from its first word to its last outcome; Ctrl-C ends it early."""

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO

from baton.cluster.outcomes import Fate, Outcome
from baton.cluster.replay.driver import Driver, Planned
from baton.cluster.replay.sender import Manners, Sender
from baton.cluster.replay.target import Target
from baton.cluster.replay.tenant import Tenant
from baton.cluster.traces import Trace
from baton.cluster.traces.content import Content
from baton.cluster.traces.tenancy import shared_out
from baton.core.errors import SettingsError

HEADSTART = 1.0  # seconds; the first bodies are made meanwhile


@dataclass(frozen=True, slots=True)
class Replayed:
    outcomes: Sequence[Outcome]
    interrupted: bool


async def replay(
    trace: Trace,
    target: Target,
    tenants: Sequence[Tenant],
    manners: Manners,
    seed: int,
    progress: TextIO | None = None,
) -> Replayed:
    """`progress`: a terminal to show it on."""
    loop = asyncio.get_running_loop()
    begin = loop.time() + HEADSTART

    def clock() -> float:
        return loop.time() - begin

    driver = Driver(Sender(target, Content(target.vocabulary, seed), manners, clock), clock)
    whose = shared_out(trace.requests, tenants, seed)
    plan = [Planned(one, tenant) for one, tenant in zip(trace.requests, whose, strict=True)]
    with _many_connections():
        running = asyncio.create_task(driver.run(plan))
        async with _showing(driver, len(plan), progress), _interruptible(running):
            await asyncio.wait({running})
    interrupted = running.cancelled()
    if not interrupted:
        running.result()
    return Replayed(driver.outcomes, interrupted)


def check_lengths(trace: Trace, target: Target) -> None:
    """Raises SettingsError where the model takes less than the trace asks for."""
    most = target.max_model_len
    if most is None:
        return
    long = sum(one.input_tokens + one.output_tokens > most for one in trace.requests)
    if long:
        longest = trace.longest
        tokens = longest.input_tokens + longest.output_tokens
        raise SettingsError(
            f"{long} of {len(trace.requests)} requests are longer than the {most} tokens that "
            f"{target.model} takes (the longest is {longest.input_tokens} + "
            f"{longest.output_tokens}): leave them out with --skip-too-long, or make all shorter "
            f"with --length-scale {most / tokens:.2g}"
        )


def without_too_long(trace: Trace, target: Target) -> Trace:
    most = target.max_model_len
    if most is None:
        return trace
    fit = [one for one in trace.requests if one.input_tokens + one.output_tokens <= most]
    return Trace(trace.name, tuple(fit))


@asynccontextmanager
async def _interruptible(running: "asyncio.Task[None]") -> AsyncIterator[None]:
    """The first Ctrl-C ends the run and keeps what was seen."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, running.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _many_connections() -> Iterator[None]:
    """As many files as this process may have open: each request has a connection."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def _showing(driver: Driver, total: int, out: TextIO | None) -> AsyncIterator[None]:
    """A line that changes, where somebody may be looking."""
    if out is None or not out.isatty():
        yield
        return
    showing = asyncio.create_task(_show(driver, total, out))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        out.write("\r\x1b[K")


async def _show(driver: Driver, total: int, out: TextIO) -> None:
    while True:
        refused = sum(one.fate is Fate.REFUSED for one in driver.outcomes)
        out.write(
            f"\r\x1b[K{len(driver.outcomes)}/{total} sent, {driver.running} running, "
            f"{refused} refused"
        )
        out.flush()
        await asyncio.sleep(0.5)
