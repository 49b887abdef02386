"""What it costs to be watched: metrics scraped and the status page open, and every request traced.

python -m benchmarks.observing --rounds 20

Two clusters, one of which sends traces. First the other one takes turns in peace with turns in which it is
watched; then the two take turns in peace. Beside tokens/s, the CPU time of all processes per token, which
other load on the machine enters less.
"""

import asyncio
import contextlib
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

import click

from baton.cluster.http_stream import ServerError, request
from benchmarks.load import first_model, make_bodies, run
from benchmarks.measures import ratio_of, summarise
from benchmarks.processes import cluster, folder_of
from benchmarks.prompts import Shape

PLAIN, WATCHED, TRACED = "plain", "watched", "traced"
TARGET = 0.97  # tokens/s of what is observed, by those of what is not
PATIENCE = 120.0  # seconds, for one request


@dataclass(frozen=True, slots=True)
class Plan:
    shape: Shape
    requests: int  # of a turn
    concurrency: int
    seconds: float  # between two looks at a page


@dataclass(frozen=True, slots=True)
class Turn:
    tokens_per_second: float
    cpu_per_token: float  # seconds


Pair = tuple[Turn, Turn]  # observed, in peace


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster."""

    url: str
    model: str
    pids: tuple[int, ...]  # of gateway and workers
    pages: tuple[str, ...]  # that somebody who watches it reads

    def cpu(self) -> float:
        """Seconds so far. No thread of theirs ends while they serve."""
        threads = [one for pid in self.pids for one in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Default: a tiny one.")
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(1))
@click.option("--input-len", default=128, show_default=True, help="Tokens.")
@click.option("--output-len", default=64, show_default=True, help="Tokens.")
@click.option("--requests", default=16, show_default=True, help="Of a turn.")
@click.option("--concurrency", default=8, show_default=True, help="Requests at a time.")
@click.option("--seconds", default=1.0, show_default=True, help="Between two looks at a page.")
@click.option("--page", default="/ui/events", show_default=True, help="What the status page reads.")
def main(
    model: Path | None,
    rounds: int,
    input_len: int,
    output_len: int,
    requests: int,
    concurrency: int,
    seconds: float,
    page: str,
) -> None:
    """Exit code 1: something that is observed is slower than it may be."""
    shape = Shape("completions", input_len, output_len, (300, 2500))
    plan = Plan(shape, requests, concurrency, seconds)
    try:
        with folder_of(model) as folder, trace_sink() as (endpoint, received):
            words = [f"--model={folder}"]
            with cluster(words) as quiet, cluster([*words, endpoint]) as traced:
                found = asyncio.run(in_turns((quiet, traced), page, plan, rounds))
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if not received:
        raise click.ClickException("no trace reached the collector")
    click.echo(f"traces      {received[0] / 2**20:.1f} MiB")
    sys.exit(0 if tell(found) else 1)


@contextmanager
def trace_sink() -> Iterator[tuple[str, list[int]]]:
    """The flag that sends traces there; bytes that came, once it is over, unless none did."""
    argv = [sys.executable, "-m", "benchmarks.trace_sink"]
    received: list[int] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        try:
            yield f"--otlp-traces-endpoint=http://127.0.0.1:{int(sink.stdout.readline())}", received
        finally:
            sink.send_signal(signal.SIGINT)
            received += [count for count in map(int, sink.stdout) if count]


async def in_turns(
    urls: tuple[str, str], page: str, plan: Plan, rounds: int
) -> dict[str, list[Pair]]:
    """By what is observed. One comparison after the other, so that in each of them both sides have
    as many turns: a cluster that rested is slow at first.
    """
    quiet, traced = [await site_of(url, page) for url in urls]
    click.echo(f"watched     {', '.join(quiet.pages)}; every {plan.seconds:g} s")
    found, seeds = {}, count(secrets.randbits(32))  # new prompts each time: none is cached
    for side, site in ((WATCHED, quiet), (TRACED, traced)):
        pairs = []
        for number in range(-1, rounds):
            pair: dict[str, Turn] = {}
            for name in (PLAIN, side) if number % 2 else (side, PLAIN):
                watch = watching(site, plan.seconds) if name == WATCHED else in_peace()
                async with watch:
                    pair[name] = await turn(site if name == side else quiet, plan, next(seeds))
            if number >= 0:  # the first one warms up
                pairs.append((pair[side], pair[PLAIN]))
        found[side] = pairs
    return found


async def site_of(url: str, page: str) -> Site:
    workers = json.loads(await read(f"{url}/status"))["workers"]
    pages = [f"{url}/metrics", *(worker["metrics_url"] for worker in workers)]
    if await is_there(url + page):
        pages.append(url + page)
    pids = family_of(workers[0]["pid"])
    return Site(url, await first_model(url), pids, tuple(pages))


def family_of(pid: int) -> tuple[int, ...]:
    """It and its siblings: gateway and workers of one `baton up`."""
    status = Path(f"/proc/{pid}/status").read_text()
    parent = int(status.partition("PPid:")[2].split()[0])
    threads = Path(f"/proc/{parent}/task").glob("*/children")
    return tuple(int(child) for thread in threads for child in thread.read_text().split())


async def is_there(url: str) -> bool:
    try:
        async with request(url) as lines:
            await anext(lines)
    except ServerError:
        return False
    return True


async def read(url: str) -> bytes:
    async with request(url) as lines:
        return b"\n".join([line async for line in lines])


@asynccontextmanager
async def in_peace() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def watching(site: Site, seconds: float) -> AsyncIterator[None]:
    """Each page is read to its end, again and again; one that is a stream stays open."""

    async def watch(page: str) -> None:
        while True:
            await read(page)
            await asyncio.sleep(seconds)

    tasks = [asyncio.create_task(watch(page)) for page in site.pages]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def turn(site: Site, plan: Plan, seed: int) -> Turn:
    bodies = make_bodies(plan.shape, site.model, plan.requests, seed)
    before = site.cpu()
    samples = await run(site.url, bodies, plan.shape, plan.concurrency, PATIENCE, tick=lambda: None)
    spent, summary = site.cpu() - before, summarise(samples)
    if summary.errors:
        raise ServerError(f"requests failed: {dict(summary.errors)}")
    return Turn(summary.output_tokens_per_second, spent / summary.output_tokens)


def tell(found: Mapping[str, Sequence[Pair]]) -> bool:
    """Whether all is as fast as it must be."""
    held = True
    for side, pairs in found.items():
        for name, turns in zip((side, PLAIN), zip(*pairs, strict=True), strict=True):
            speed = median(one.tokens_per_second for one in turns)
            spent = sum(one.cpu_per_token for one in turns) / len(turns)
            click.echo(f"{name:11} {speed:8.1f} tokens/s, {spent * 1e3:.3f} ms of CPU per token")
        rate = ratio_of([(a.tokens_per_second, b.tokens_per_second) for a, b in pairs])
        cpu = ratio_of([(a.cpu_per_token, b.cpu_per_token) for a, b in pairs])
        whole = sum(a.cpu_per_token for a, _ in pairs) / sum(b.cpu_per_token for _, b in pairs)
        held &= rate.median >= TARGET
        click.echo(
            f"{side}/plain  tokens/s {rate.median:.3f} ({rate.low:.3f} to {rate.high:.3f}), at least "
            f"{TARGET}; CPU per token {cpu.median:.3f} ({cpu.low:.3f} to {cpu.high:.3f}), {whole:.3f} "
            f"over all; {rate.rounds} rounds"
        )
    return held


if __name__ == "__main__":
    main()
