"""More than a cluster can do: what is answered, who is refused, and whether what they are told holds.

python -m benchmarks.overload sustained burst tenants urgent

Workers run the hash model with steps of a fixed time, so that a small pool of blocks and not the
machine's cores bounds what the cluster can do. `best` is what clients get of it who wait for one
another. Arrivals are Poisson; whoever is refused stays away, but in `burst`: there each comes back
once, at the second that `Retry-After` names.
"""

import asyncio
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import yaml

from baton.cluster.api_client import ApiClient
from baton.cluster.http_stream import ServerError, asked, events
from baton.cluster.model_presets import make_model
from benchmarks.measures import quantile
from benchmarks.processes import cluster
from benchmarks.prompts import Shape, body, brings_tokens

PARTS = ("sustained", "burst", "tenants", "urgent")
TENANTS = {"plain": 1, "heavy": 3, "light": 1}  # weights; a key is its tenant's name
PLACES, STEP = 16, 0.04  # answers at a time, seconds
INPUT, OUTPUT, BLOCK = 32, 15, 16  # tokens: three blocks for each request
LINE = 64  # most that wait
PATIENCE = 60.0  # seconds, of a client
URGENT = -10


@dataclass(slots=True)
class Visit:
    """One request of one client."""

    status: int = 0
    seconds: float = math.inf  # to its first token
    ended: float = math.inf
    told: float | None = None  # Retry-After


@dataclass(slots=True)
class Crowd:
    """Clients of one part; `longest` is the line's."""

    url: str
    model: str
    draw: random.Random
    visits: list[tuple[str, list[Visit]]] = field(default_factory=list)  # with their keys
    longest: int = 0

    async def come(self, rate: float, seconds: float, key: str, retries: int = 0) -> None:
        """Returns when all have been served or refused."""
        async with asyncio.TaskGroup() as group:
            at, begin = self.draw.expovariate(rate), _now()
            while at < seconds:
                await asyncio.sleep(begin + at - _now())
                group.create_task(self.client(key, retries))
                at += self.draw.expovariate(rate)

    async def client(self, key: str, retries: int = 0, priority: int = 0) -> list[Visit]:
        wanted = body(Shape("completions", INPUT, OUTPUT, (300, 2500)), self.model, self.draw)
        visits: list[Visit] = []
        self.visits.append((key, visits))
        while True:
            visits.append(await visit(self.url, wanted | {"priority": priority}, key))
            told = visits[-1].told
            if told is None or len(visits) > retries:
                return visits
            await asyncio.sleep(told)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """The line is looked at five times a second."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            async with asked(ApiClient(self.url, key="plain"), "GET", "/status") as answer:
                status = json.loads(b"".join([line async for line in answer.lines]))
            self.longest = max(self.longest, status["queued"])
            await asyncio.sleep(0.2)


async def visit(url: str, wanted: dict[str, Any], key: str) -> Visit:
    said, sent = Visit(), _now()
    try:
        async with (
            asyncio.timeout(PATIENCE),
            asked(
                ApiClient(url, key=key), "POST", "/v1/completions", json.dumps(wanted).encode()
            ) as answer,
        ):
            said.status = answer.status
            after = answer.headers.get("retry-after")
            said.told = None if after is None else float(after)
            if answer.status == 200:
                async for event in events(answer.lines):
                    if brings_tokens(event) and said.seconds == math.inf:
                        said.seconds = _now() - sent
                said.ended = _now()
    except (ServerError, OSError, TimeoutError, ValueError) as error:
        click.echo(f"a request failed: {error!r}", err=True)
        said.status = 0
    return said


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--seconds", default=25.0, show_default=True, help="Of sustained overload.")
@click.option("--burst", default=8.0, show_default=True, help="Seconds at 3x, before 0.8x.")
@click.option("--after", default=100.0, show_default=True, help="Seconds at 0.8x.")
@click.option("--seed", default=1, show_default=True)
def main(parts: tuple[str, ...], seconds: float, burst: float, after: float, seed: int) -> None:
    """Exit code 1: a target was missed."""
    with started() as (url, model):
        met = asyncio.run(measured(url, model, parts or PARTS, (seconds, burst, after), seed))
    sys.exit(0 if met else 1)


@contextmanager
def started() -> Iterator[tuple[str, str]]:
    with TemporaryDirectory() as scratch:
        folder, file = Path(scratch) / "hash", Path(scratch) / "tenants.yaml"
        make_model("hash", folder, lambda _: None)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "step_seconds": STEP}))
        tenants = [{"name": n, "keys": [n], "weight": weight} for n, weight in TENANTS.items()]
        file.write_text(yaml.safe_dump({"tenants": tenants}))
        rows = config["num_layers"] * 2 * config["num_kv_heads"] * config["head_dim"]
        blocks = PLACES * -(-(INPUT + OUTPUT) // BLOCK)
        words = [
            *(f"--model={folder}", f"--tenants-file={file}", f"--max-queued-requests={LINE}"),
            *("--scheduling-policy=priority", f"--block-size={BLOCK}"),
            f"--kv-cache-memory-bytes={blocks * BLOCK * rows}",
        ]
        with cluster(words) as url:
            yield url, str(folder)


async def measured(
    url: str, model: str, parts: tuple[str, ...], times: tuple[float, ...], seed: int
) -> bool:
    best = await best_of(Crowd(url, model, random.Random(seed)))
    click.echo(f"best: {best:.1f} requests/s")
    seconds, burst, after = times
    met = True
    for number, part in enumerate(parts):
        crowd = Crowd(url, model, random.Random(seed + number + 1))
        async with crowd.watched():
            if part == "sustained":
                met &= await sustained(crowd, best, seconds)
            elif part == "burst":
                met &= await burst_of(crowd, best, burst, after)
            elif part == "tenants":
                met &= await two_tenants(crowd, best, seconds)
            else:
                met &= await urgent(crowd, best, seconds)
        statuses = Counter(one.status for _, visits in crowd.visits for one in visits)
        click.echo(f"  statuses {dict(statuses)}, longest line {crowd.longest} of {LINE}")
        met &= crowd.longest <= LINE and not statuses[0]
    return met


async def best_of(crowd: Crowd, seconds: float = 12.0) -> float:
    """Answers per second for twice as many clients as there are places."""
    begin = _now()

    async def one_behind_the_other() -> None:
        while _now() < begin + seconds:
            await crowd.client("plain")

    await asyncio.gather(*(one_behind_the_other() for _ in range(2 * PLACES)))
    return _served(crowd, begin + 2.0, begin + seconds) / (seconds - 2.0)


async def sustained(crowd: Crowd, best: float, seconds: float) -> bool:
    begin = _now()
    await crowd.come(3 * best, seconds, "plain")
    goodput = _served(crowd, begin + 2.0, begin + seconds) / (seconds - 2.0)
    click.echo(f"sustained 3x: goodput {goodput:.1f}/s = {goodput / best:.3f} of the best")
    return goodput >= 0.9 * best


async def burst_of(crowd: Crowd, best: float, burst: float, after: float) -> bool:
    await asyncio.gather(
        crowd.come(3 * best, burst, "plain", retries=1),
        _later(burst, lambda: crowd.come(0.8 * best, after, "plain", retries=1)),
    )
    refused = [visits for _, visits in crowd.visits if visits[0].status != 200]
    first = [visits for visits in refused if visits[-1].status == 200]
    told = [visits[0].told or 0.0 for visits in refused]
    share = len(first) / len(refused)
    click.echo(
        f"burst of {burst:g} s at 3x, then 0.8x: {len(first)} of {len(refused)} refused served at the "
        f"first retry = {share:.3f}; told to wait {min(told):g} to {max(told):g} s"
    )
    return share >= 0.9


async def two_tenants(crowd: Crowd, best: float, seconds: float) -> bool:
    begin = _now()
    names = ("heavy", "light")
    await asyncio.gather(*(crowd.come(2 * best, seconds, name) for name in names))
    heavy, light = (_served(crowd, begin + 3.0, begin + seconds, name) for name in names)
    ratio = heavy / light
    click.echo(f"tenants 3:1, each asking for 2x: {heavy} and {light} answers = {ratio:.2f}:1")
    return 2.7 <= ratio <= 3.3


async def urgent(crowd: Crowd, best: float, seconds: float) -> bool:
    alone = [(await crowd.client("plain", priority=URGENT))[0].seconds for _ in range(20)]
    beside: list[float] = []

    async def ask() -> None:
        await asyncio.sleep(2.0)
        while _now() < end:
            beside.append((await crowd.client("plain", priority=URGENT))[0].seconds)
            await asyncio.sleep(crowd.draw.uniform(0.1, 0.3))

    end = _now() + seconds
    await asyncio.gather(crowd.come(1.5 * best, seconds, "plain"), ask())
    more = [quantile(beside, q) - quantile(alone, q) for q in (0.5, 0.95)]
    click.echo(
        f"priority {URGENT} beside 1.5x: TTFT median {quantile(beside, 0.5) * 1e3:.0f} ms "
        f"(alone {quantile(alone, 0.5) * 1e3:.0f}), p95 {quantile(beside, 0.95) * 1e3:.0f} ms (alone "
        f"{quantile(alone, 0.95) * 1e3:.0f}); a step takes {STEP * 1e3:.0f} ms; {len(beside)} of them"
    )
    return more[0] <= 2 * STEP


async def _later(seconds: float, work: Any) -> None:
    await asyncio.sleep(seconds)
    await work()


def _served(crowd: Crowd, begin: float, end: float, key: str = "plain") -> int:
    visits = (one for of, several in crowd.visits if of == key for one in several)
    return sum(begin <= one.ended < end for one in visits)


def _now() -> float:
    return time.perf_counter()


if __name__ == "__main__":
    main()
