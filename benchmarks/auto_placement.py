"""Placement by predicted cost beside always-disaggregated and always-aggregated, on one cluster.

python -m benchmarks.auto_placement --rounds 12 --minutes 8 --keep rounds.jsonl

Long prompts, one behind the other, among many chats that stream. In each round every mode has its turn, in
an order that changes, with prompts of the same lengths but of other tokens, so that no cache helps. Per round
auto's median and p95 are divided by those of the better of the other two. After so many minutes no
further round begins; with `--keep`, the next run goes on behind the rounds that are there.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from baton.cluster.http_stream import ServerError
from benchmarks.load import measure
from benchmarks.measures import Sample, quantile, ratio_of
from benchmarks.processes import cluster, folder_of
from benchmarks.prompts import Shape, body

AUTO, OTHERS = "auto", ("disaggregated", "aggregated")
TARGETS = {"p50": 1.05, "p95": 1.15}
QUANTILES = {"p50": 0.5, "p95": 0.95}
PATIENCE = 120.0  # seconds, per request


@dataclass(frozen=True, slots=True)
class Plan:
    long: Shape
    chat: Shape
    prompts: int  # long ones, of a turn
    chats: int  # likewise
    writers: int  # chats at a time


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds, of all requests of one mode."""

    ttft: list[float]
    itl: list[float]
    alone: int  # requests that a decode worker read

    def figures(self) -> dict[str, float]:
        kinds = {"TTFT": self.ttft, "ITL": self.itl}
        return {
            f"{kind} {name}": quantile(times, q)
            for kind, times in kinds.items()
            for name, q in QUANTILES.items()
        }


class Kept:
    """Rounds so far, in a file where there is one."""

    def __init__(self, path: Path | None, shape: dict[str, Any]) -> None:
        """Raises ClickException where the file's rounds are of something else."""
        self.rounds: list[dict[str, Turn]] = []
        self._path = path
        if path is None:
            return
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        if not lines:
            path.write_text(json.dumps(shape) + "\n", "utf-8")
        elif json.loads(lines[0]) != shape:
            raise click.ClickException(f"{path} has rounds of other options: {lines[0]}")
        for line in lines[1:]:
            self.rounds.append({mode: Turn(**told) for mode, told in json.loads(line).items()})

    def add(self, turns: dict[str, Turn]) -> None:
        self.rounds.append(turns)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({mode: asdict(one) for mode, one in turns.items()}) + "\n")


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Default: a tiny one.")
@click.option("--rounds", default=12, show_default=True, type=click.IntRange(1))
@click.option("--minutes", default=8.0, show_default=True, help="No round begins later.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Rounds, and those before. JSON lines."
)
@click.option("--input-len", default=2000, show_default=True, help="Tokens of a long prompt.")
@click.option("--prompts", default=6, show_default=True, help="Long ones, of a turn.")
@click.option("--chats", default=24, show_default=True, help="Of a turn.")
@click.option("--writers", default=6, show_default=True, help="Chats at a time.")
@click.option("--prefill-workers", default=1, show_default=True)
@click.option("--decode-workers", default=1, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the prompts.")
def main(
    model: Path | None,
    rounds: int,
    minutes: float,
    keep: Path | None,
    input_len: int,
    prompts: int,
    chats: int,
    writers: int,
    prefill_workers: int,
    decode_workers: int,
    seed: int,
) -> None:
    """Exit code 1: a target was missed."""
    ids = (300, 4000)
    long, chat = Shape("completions", input_len, 16, ids), Shape("completions", 48, 64, ids)
    plan = Plan(long, chat, prompts, chats, writers)
    shape = {**asdict(plan), "model": str(model), "seed": seed}
    shape |= {"prefill_workers": prefill_workers, "decode_workers": decode_workers}
    kept = Kept(keep, json.loads(json.dumps(shape)))
    end = time.monotonic() + 60 * minutes
    try:
        with folder_of(model) as folder:
            words = [
                f"--model={folder}",
                "--placement-policy=auto",
                f"--prefill-workers={prefill_workers}",
                f"--decode-workers={decode_workers}",
            ]
            with cluster(words) as url:
                asyncio.run(in_turns(url, folder, plan, rounds, end, seed, kept))
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if tell(kept.rounds) else 1)


async def in_turns(
    url: str, model: Path, plan: Plan, rounds: int, end: float, seed: int, kept: Kept
) -> None:
    """At least one more round; none begins after `end`."""
    modes = [AUTO, *OTHERS]
    draw = random.Random(f"{seed}/warm")
    for mode in modes:  # warm, and something is learned
        await turn(url, model, plan, mode, draw)
    for more in range(rounds):
        if more and time.monotonic() > end:
            click.echo(f"stopped after {more} of {rounds} rounds: the time is up", err=True)
            return
        number = len(kept.rounds)
        draw = random.Random(f"{seed}/{number}")
        order = modes[number % 3 :] + modes[: number % 3]
        kept.add({mode: await turn(url, model, plan, mode, draw) for mode in order})


async def turn(url: str, model: Path, plan: Plan, mode: str, draw: random.Random) -> Turn:
    def wanted(shape: Shape) -> dict[str, Any]:
        return {**body(shape, str(model), draw), "kv_transfer_params": {"mode": mode}}

    waiting = iter([wanted(plan.chat) for _ in range(plan.chats)])
    samples: list[Sample] = []

    async def chats() -> None:
        for one in waiting:
            samples.append(await measure(url + plan.chat.path, one, PATIENCE))

    async def prompts() -> None:
        for one in [wanted(plan.long) for _ in range(plan.prompts)]:
            samples.append(await measure(url + plan.long.path, one, PATIENCE))

    await asyncio.gather(prompts(), *(chats() for _ in range(plan.writers)))
    broken = [sample.error for sample in samples if sample.error is not None]
    if broken:
        raise ServerError(f"{len(broken)} requests failed, such as: {broken[0]}")
    ways = [sample.hand_off or {} for sample in samples]
    return Turn(
        [sample.ttft for sample in samples if sample.ttft is not None],
        [gap for sample in samples for gap in sample.itl],
        sum(way.get("prefill_worker") is None for way in ways),
    )


def tell(rounds: Sequence[dict[str, Turn]]) -> bool:
    """Whether all targets are met."""
    requests = sum(len(one[AUTO].ttft) for one in rounds)
    for mode in (AUTO, *OTHERS):
        medians = {
            name: quantile([one[mode].figures()[name] for one in rounds], 0.5) * 1e3
            for name in rounds[0][mode].figures()
        }
        told = "   ".join(f"{name} {value:7.2f} ms" for name, value in medians.items())
        alone = sum(one[mode].alone for one in rounds)
        click.echo(f"{mode:14} {told}   {alone} of {requests} read by decode")
    met = True
    for name in rounds[0][AUTO].figures():
        pairs = [
            (one[AUTO].figures()[name], min(one[mode].figures()[name] for mode in OTHERS))
            for one in rounds
        ]
        ratio, target = ratio_of(pairs), TARGETS[name.split()[1]]
        met &= ratio.median <= target
        click.echo(
            f"auto by the better, {name:9} {ratio.median:.3f} "
            f"[{ratio.low:.3f} .. {ratio.high:.3f}]   target {target}"
        )
    return met


if __name__ == "__main__":
    main()
