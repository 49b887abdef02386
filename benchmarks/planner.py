"""A load that turns from reading to writing: answers within the objectives with a planner and without.

python -m benchmarks.planner --rounds 2

Workers run the hash model with steps of a fixed time, so that their number and their roles, not the
machine's cores, bound what the cluster can do.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.http_stream import ServerError
from baton.cluster.model_presets import make_model
from baton.cluster.status_page import fetch_status
from benchmarks.load import first_model, measure
from benchmarks.measures import Sample
from benchmarks.processes import cluster
from benchmarks.prompts import Shape, body

STEP, CHUNK, SEATS = 0.02, 128, 8  # seconds, prompt tokens of a step, answers of a worker at a time
TTFT, ITL = 1.5, 0.1  # seconds
TOKENS = (300, 4000)
PATIENCE = 60.0  # seconds
# A prefill worker reads 4.2 of the long prompts in a second, a decode worker writes 3.3 of the long
# answers: of each phase three workers are needed where the cluster begins with two.
READING = Shape("completions", 1500, 4, TOKENS)
WRITING = Shape("completions", 32, 120, TOKENS)


@dataclass(frozen=True, slots=True)
class Phase:
    name: str
    shape: Shape
    rate: float  # requests per second

    def bodies(self, model: str, seconds: float, draw: random.Random) -> list[dict[str, Any]]:
        return [body(self.shape, model, draw) for _ in range(round(self.rate * seconds))]


PHASES = (Phase("reading", READING, 7.0), Phase("writing", WRITING, 7.0))


@click.command()
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=40.0, show_default=True, help="Of each phase.")
@click.option("--seed", default=1, show_default=True)
def main(rounds: int, seconds: float, seed: int) -> None:
    """Two prefill and two decode workers; both sides of a round get the same requests at the same
    times, and who goes first alternates. With the planner roles change; no worker is added.
    """
    shares: dict[str, list[list[float]]] = {"off": [], "on": []}
    try:
        with slow_model() as model:
            for number in range(rounds):
                for mode in sorted(shares, reverse=bool(number % 2)):
                    found = asyncio.run(one_run(model, mode, seconds, seed + number))
                    shares[mode].append(found)
                    click.echo(f"round {number + 1}/{rounds}  planner {mode:3}  {told(found)}")
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for mode, runs in shares.items():
        click.echo(
            f"planner {mode:3}  {told([median(phase) for phase in zip(*runs, strict=True)])}"
        )


def told(shares: list[float]) -> str:
    parts = [f"{phase.name} {share:.1%}" for phase, share in zip(PHASES, shares, strict=True)]
    return f"within TTFT {TTFT:g} s and ITL {ITL:g} s: {', '.join(parts)}"


@contextmanager
def slow_model() -> Iterator[Path]:
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "hash"
        make_model("hash", folder, lambda line: None)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "step_seconds": STEP}))
        yield folder


async def one_run(model: Path, mode: str, seconds: float, seed: int) -> list[float]:
    """Share of the requests of each phase that were answered within the objectives."""
    words = [f"--model={model}", "--prefill-workers=2", "--decode-workers=2", "--threads=1"]
    words += [f"--max-num-batched-tokens={CHUNK}", f"--max-num-seqs={SEATS}"]
    words += ["--kv-cache-memory-bytes=67108864", "--log-level=error"]
    if mode == "on":
        words += ["--planner=on", "--planner-seconds=2", f"--slo-ttft-ms={TTFT * 1e3:g}"]
        words += [f"--slo-itl-ms={ITL * 1e3:g}"]
    with cluster(words) as url:
        draw, name = random.Random(seed), await first_model(url)
        shares = []
        for phase in PHASES:
            samples = await load(url, phase.bodies(name, seconds, draw), phase, draw)
            shares.append(sum(map(good, samples)) / len(samples))
            roles = [worker["role"] for worker in fetch_status(ApiClient(url))["workers"]]
            click.echo(f"  behind {phase.name}: {roles.count('prefill')} prefill workers")
    return shares


async def load(
    url: str, bodies: list[dict[str, Any]], phase: Phase, draw: random.Random
) -> list[Sample]:
    """In an open loop, at random times."""
    tasks = []
    for one in bodies:
        tasks.append(asyncio.create_task(measure(url + phase.shape.path, one, PATIENCE)))
        await asyncio.sleep(draw.expovariate(phase.rate))
    return list(await asyncio.gather(*tasks))


def good(sample: Sample) -> bool:
    if sample.error is not None or sample.ttft is None:
        return False
    return sample.ttft <= TTFT and (sample.tpot is None or sample.tpot <= ITL)


if __name__ == "__main__":
    main()
