"""How long a survivor keeps KV blocks for somebody who was killed.

python -m benchmarks.reclaim --kills 20
"""

import asyncio
import json
import random
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click

from baton.cluster.http_stream import ServerError
from baton.cluster.model_presets import make_model
from benchmarks.held import INCOMING, OUTGOING, REST, Reclaim, read, reclaimed
from benchmarks.load import measure
from benchmarks.measures import quantile
from benchmarks.mortal_pair import DECODE, GATEWAY, PREFILL, MortalPair, mortal_pair

BOUND = 1.0  # seconds
PATIENCE = 20.0  # seconds after which a block counts as lost
CLIENTS = 8
STEP = 0.02  # seconds that a step of the model takes at least, so that a death finds it at work
CHUNK = 128  # prompt tokens of a step: a prompt is several
PROMPT, ANSWER = (512, 1536), (50, 250)  # tokens
POOL = 64 << 20  # bytes: a dying process keeps its sockets until the kernel has freed its memory
TRIES = 50  # moments at which nothing was held, in a row, before it is given up

EVERYTHING = (*INCOMING, *OUTGOING, *REST)
# Who dies -> whose pages are read, and for what. A decode worker that lost its only peer goes on
# with the answers that it has whole; prefill without decode, and both without a gateway, are idle.
SURVIVORS: dict[str, dict[str, tuple[str, ...]]] = {
    DECODE: {PREFILL: EVERYTHING},
    PREFILL: {DECODE: INCOMING},
    GATEWAY: {PREFILL: EVERYTHING, DECODE: EVERYTHING},
}


@dataclass
class Row:
    """Of one kind of death and one survivor."""

    death: str
    survivor: str
    reclaims: list[Reclaim] = field(default_factory=list)
    held: list[int] = field(default_factory=list)  # blocks at the death
    dying: list[float] = field(default_factory=list)  # seconds from the kill to the process's end
    lost: int = 0  # deaths after which something was held to the end of our patience

    @property
    def times(self) -> list[float]:
        return [r.time for r in self.reclaims]

    @property
    def holds(self) -> bool:
        return not self.lost and bool(self.times) and quantile(self.times, 0.99) < BOUND

    def as_json(self) -> dict[str, Any]:
        at = {f"p{q}_ms": quantile(self.times, q / 100) * 1e3 for q in (50, 99) if self.times}
        return {
            "death": self.death,
            "survivor": self.survivor,
            "kills": len(self.times),
            "lost": self.lost,
            **at,
            "max_ms": max(self.times, default=0.0) * 1e3,
            "blocks_held": median(self.held) if self.held else 0,
            "dying_ms": median(self.dying) * 1e3 if self.dying else 0.0,
            "resolution_ms": max((r.resolution for r in self.reclaims), default=0.0) * 1e3,
        }


@click.command()
@click.option("--kills", default=20, show_default=True, type=click.IntRange(1), help="Of each.")
@click.option(
    "--deaths",
    default=f"{DECODE},{PREFILL},{GATEWAY}",
    show_default=True,
    help="Who is killed, in turns.",
)
@click.option("--kv-transport", default="auto", show_default=True)
@click.option("--seed", type=int, help="Of the prompts; drawn and told if left out.")
@click.option("--json", "as_json", is_flag=True, help="One object on stdout.")
def main(kills: int, deaths: str, kv_transport: str, seed: int | None, as_json: bool) -> None:
    """Kills the processes of a cluster of the hash model while requests stream.

    Exit code 1: a p99 was not below 1 s, or something was never given back.
    """
    victims = deaths.split(",")
    if not set(victims) <= set(SURVIVORS):
        raise click.BadParameter(f"of {', '.join(SURVIVORS)}", param_hint="--deaths")
    draw = random.Random(chosen := secrets.randbits(32) if seed is None else seed)
    flags = [
        f"--max-num-batched-tokens={CHUNK}",
        f"--kv-transport={kv_transport}",
        f"--kv-cache-memory-bytes={POOL}",
    ]
    try:
        with slow_model() as model, mortal_pair(model, flags) as pair:
            rows = asyncio.run(trials(pair, victims, kills, draw))
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    holds = all(row.holds for row in rows)
    if as_json:
        told = [row.as_json() for row in rows]
        click.echo(json.dumps({"bound_ms": BOUND * 1e3, "seed": chosen, "rows": told}))
    else:
        show(rows, chosen)
    sys.exit(0 if holds else 1)


@contextmanager
def slow_model() -> Iterator[Path]:
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "hash"
        make_model("hash", folder, lambda _: None)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "step_seconds": STEP}))
        yield folder


async def trials(
    pair: MortalPair, victims: list[str], kills: int, draw: random.Random
) -> list[Row]:
    """The victims in turns, each `kills` times."""
    rows = {v: {name: Row(v, name) for name in SURVIVORS[v]} for v in victims}
    async with crowd(pair.url, draw) as asks:
        for number in range(kills):
            for victim in victims:
                await pair.until_ready()
                asks.set()
                await one_death(pair, victim, rows[victim], asks)
                pair.start(victim)
                click.echo(f"{victim} {number + 1}/{kills}", err=True)
    return [row for by_survivor in rows.values() for row in by_survivor.values()]


@asynccontextmanager
async def crowd(url: str, draw: random.Random) -> AsyncIterator[asyncio.Event]:
    """Clients that stream one answer after the other while the event is set; what becomes of their
    answers is not our subject.
    """
    asks = asyncio.Event()

    async def client() -> None:
        while True:
            await asks.wait()
            prompt = [draw.randrange(4000) for _ in range(draw.randint(*PROMPT))]
            body = {
                "prompt": prompt,
                "max_tokens": draw.randint(*ANSWER),
                "ignore_eos": True,
                "stream": True,
            }
            await measure(f"{url}/v1/completions", body, PATIENCE)

    clients = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    try:
        yield asks
    finally:
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def one_death(
    pair: MortalPair, victim: str, rows: dict[str, Row], asks: asyncio.Event
) -> None:
    held = await frozen_at_work(pair, victim, list(rows))
    asks.clear()
    died = pair.kill(victim)
    gone = asyncio.create_task(pair.until_gone(victim))
    watches = [reclaimed(pair.pages[n], SURVIVORS[victim][n], died, PATIENCE) for n in rows]
    reclaims = await asyncio.gather(*watches)
    dying = await gone - died
    for name, reclaim in zip(rows, reclaims, strict=True):
        rows[name].held.append(held[name])
        rows[name].dying.append(dying)
        if reclaim is None:
            rows[name].lost += 1
        else:
            rows[name].reclaims.append(reclaim)


async def frozen_at_work(pair: MortalPair, victim: str, survivors: list[str]) -> dict[str, int]:
    """Blocks that each survivor holds, now that the victim cannot end its part: they are still
    held at its death, a moment later. A moment at which somebody holds none does not count.
    """

    async def blocks() -> dict[str, int]:
        return {n: (await read(pair.pages[n], SURVIVORS[victim][n])).blocks for n in survivors}

    for _ in range(TRIES):
        while not all((await blocks()).values()):  # noqa: ASYNC110 there is no event
            await asyncio.sleep(0.01)
        pair.freeze(victim)
        if all((held := await blocks()).values()):
            return held
        pair.thaw(victim)
        click.echo(f"{victim}: {held} blocks are held; not killed, not counted", err=True)
    raise ServerError(f"in {TRIES} moments no survivor of {victim} held a block")


def show(rows: list[Row], seed: int) -> None:
    click.echo(f"seed {seed}; from the kill until nothing is held; bound of p99: {BOUND:g} s")
    for row in rows:
        told = row.as_json()
        times = ", ".join(f"{k.removesuffix('_ms')} {told[k]:.1f}" for k in told if k[0] in "pm")
        click.echo(
            f"{row.death:<8} dies, {row.survivor:<8} gives back: {times} ms; {told['kills']} kills, "
            f"{told['blocks_held']:g} blocks held, gone after {told['dying_ms']:.1f} ms (medians), "
            f"read every {told['resolution_ms']:.1f} ms at worst{f'; NOT GIVEN BACK: {row.lost}' if row.lost else ''}"
        )


if __name__ == "__main__":
    main()
