"""What a worker holds of other processes' doings, read from its metrics page, and when it let go."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from baton.cluster.http_stream import request

PAUSE = 0.001  # seconds between two readings; the page is served beside the worker's event loop
SETTLED = 0.3  # seconds without a block before they count as given back for good

# Of transfers: what is promised to them, what they fill, what is lent to them.
INCOMING = ("baton_pulls_open", "baton_pulling_blocks", "baton_reserved_blocks")
OUTGOING = ("baton_leases_open", "baton_leased_blocks")
# And of everything else: requests in the engine, and blocks that anything has a reference on.
REST = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")


@dataclass(frozen=True, slots=True)
class Held:
    """One reading of some of the gauges above."""

    blocks: int  # leased, reserved and being filled
    anything: bool  # any of the gauges is not 0


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Seconds."""

    time: float  # from the death to the first reading without anything, after which none came back
    resolution: float  # between that reading's end and the beginning of the last one with something


def held_of(page: Iterable[str], gauges: tuple[str, ...]) -> Held:
    """Raises KeyError where the page lacks one of them."""
    values: dict[str, float] = {}
    for line in page:
        if line.startswith(gauges):
            sample, _, value = line.rpartition(" ")
            values[sample.partition("{")[0]] = float(value)
    wanted = {gauge: values[gauge] for gauge in gauges}
    blocks = sum(value for gauge, value in wanted.items() if gauge.endswith("_blocks"))
    return Held(int(blocks), any(wanted.values()))


async def read(url: str, gauges: tuple[str, ...]) -> Held:
    async with request(url) as lines:
        return held_of([line.decode() async for line in lines], gauges)


class Vigil:
    """Readings after a death at `died`. Times are seconds on one clock. Pure."""

    def __init__(self, died: float) -> None:
        self._died = died
        self._last_held = died
        self._free: Reclaim | None = None

    def note(self, asked: float, told: float, held: Held) -> Reclaim | None:
        """The reclaim once nothing has come back for long enough."""
        if held.anything:
            self._last_held, self._free = asked, None
        elif self._free is None:
            self._free = Reclaim(told - self._died, told - self._last_held)
        elif told - self._died - self._free.time >= SETTLED:
            return self._free
        return None


async def reclaimed(
    url: str, gauges: tuple[str, ...], died: float, patience: float
) -> Reclaim | None:
    """`died` is on `time.monotonic`. None: `patience` seconds later something was still held."""
    vigil = Vigil(died)
    while (asked := time.monotonic()) - died < patience + SETTLED:
        held = await read(url, gauges)
        if reclaim := vigil.note(asked, time.monotonic(), held):
            return reclaim
        await asyncio.sleep(PAUSE)
    return None
