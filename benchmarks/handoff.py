"""What the hand-off costs a client: at the first token, at the second one, and through a slow link.

python -m benchmarks.handoff --rounds 15
"""

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from baton.cluster.http_stream import ServerError
from benchmarks.load import first_model, measure, run
from benchmarks.measures import Ratio, Sample, ratio_of
from benchmarks.processes import folder_of, gateway_and
from benchmarks.prompts import Shape, body
from benchmarks.throttle import RATE

PAIR = ("prefill_worker", "decode_worker")
THROTTLED = ("prefill_worker", "benchmarks.throttle")
BLOCK = 16  # tokens
SHARE = 0.8  # of the prefill, that the throttled transfer takes
SLACK_MS = 10.0
PATIENCE = 300.0  # seconds for one request


@dataclass(frozen=True, slots=True)
class Row:
    """One claim: A by B, per request or round."""

    name: str
    ratio: Ratio
    target: float

    @property
    def holds(self) -> bool:
        return self.ratio.median <= self.target


@dataclass(frozen=True, slots=True)
class Plan:
    shape: Shape
    rounds: int
    concurrency: int
    chunk: int  # tokens
    threads: int
    memory: str

    @property
    def flags(self) -> list[str]:
        return [
            f"--max-num-batched-tokens={self.chunk}",
            f"--kv-cache-memory-bytes={self.memory}",
            "--max-num-seqs=16",
        ]


@click.command()
@click.option(
    "--model",
    type=click.Path(exists=True, path_type=Path),
    help="Its folder; left out: a tiny random one is made.",
)
@click.option(
    "--input-len", default=2000, show_default=True, type=click.IntRange(32), help="Tokens"
)
@click.option("--output-len", default=32, show_default=True, type=click.IntRange(8), help="Tokens")
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(1))
@click.option(
    "--concurrency", default=4, show_default=True, type=click.IntRange(1), help="Of load."
)
@click.option("--chunk", default=256, show_default=True, type=click.IntRange(64), help="Tokens.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Per worker.")
@click.option("--memory", default="256M", show_default=True, help="KV cache of each worker.")
@click.option("--token-ids", nargs=2, type=int, default=(300, 4000), show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the prompts.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object instead of text.")
def main(
    model: Path | None,
    input_len: int,
    output_len: int,
    token_ids: tuple[int, int],
    seed: int,
    as_object: bool,
    **sizes: Any,
) -> None:
    """Exit code 1: a target was missed."""
    plan = Plan(shape=Shape("completions", input_len, output_len, token_ids), **sizes)
    try:
        with folder_of(model) as folder:
            rows, times = compare(plan, folder, random.Random(seed))
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    show(rows, times, plan, as_object)
    sys.exit(0 if all(row.holds for row in rows) else 1)


def compare(plan: Plan, folder: Path, draw: random.Random) -> tuple[list[Row], dict[str, float]]:
    """The rows, and medians of times in milliseconds."""
    with (
        gateway_and(folder, PAIR, plan.flags, plan.threads) as pair,
        gateway_and(folder, PAIR[1:], plan.flags, plan.threads) as alone,
    ):
        quiet, aggregated = asyncio.run(in_turns(plan, pair, alone, draw))
        loaded = asyncio.run(under_load(plan, pair, draw))
    ttft = median(first_token(s) for s in quiet)
    moved = hand_off(quiet[0])["transferred_bytes"]
    rate = moved / (SHARE * ttft)
    with gateway_and(folder, THROTTLED, plan.flags, plan.threads, {RATE: str(rate)}) as throttled:
        slow = asyncio.run(alone_at(plan, throttled, draw))
    rows = [
        Row(
            f"throttled: exposed / (last chunk's share + {SLACK_MS:g} ms)",
            ratio_of([(hand_off(s)["exposed_ms"], allowed_ms(s, plan, rate)) for s in slow]),
            1.0,
        ),
        Row(
            "quiet: gap to the second token / median ITL",
            ratio_of([(s.itl[0], later_itl(s)) for s in quiet]),
            1.5,
        ),
        Row(
            f"{plan.concurrency} clients: that gap / (2 median ITL + exposed)",
            ratio_of(
                [(s.itl[0], 2 * later_itl(s) + hand_off(s)["exposed_ms"] / 1000) for s in loaded]
            ),
            1.0,
        ),
        Row(
            "TTFT: prefill and decode / one worker",
            ratio_of(
                [(first_token(a), first_token(b)) for a, b in zip(quiet, aggregated, strict=True)]
            ),
            1.05,
        ),
    ]
    times = {
        "ttft": ttft * 1000,
        "itl": median(later_itl(s) for s in quiet) * 1000,
        "gap_to_second_token": median(s.itl[0] for s in quiet) * 1000,
        "exposed": median(hand_off(s)["exposed_ms"] for s in quiet),
        "exposed_under_load": median(hand_off(s)["exposed_ms"] for s in loaded),
        "transfer_throttled": median(hand_off(s)["transfer_ms"] for s in slow),
        "exposed_throttled": median(hand_off(s)["exposed_ms"] for s in slow),
        "allowed_throttled": median(allowed_ms(s, plan, rate) for s in slow),
    }
    return rows, times


async def in_turns(
    plan: Plan, pair: str, alone: str, draw: random.Random
) -> tuple[list[Sample], list[Sample]]:
    """Both answer the same prompt in each round and take turns in going first; one warm-up round."""
    model = await first_model(pair)
    found: dict[str, list[Sample]] = {pair: [], alone: []}
    for number in range(plan.rounds + 1):
        wanted = body(plan.shape, model, draw)
        for url in (pair, alone) if number % 2 else (alone, pair):
            sample = checked(await measure(url + plan.shape.path, wanted, PATIENCE))
            if number:
                found[url].append(sample)
    return found[pair], found[alone]


async def alone_at(plan: Plan, url: str, draw: random.Random) -> list[Sample]:
    """One request after the other; the first is not measured."""
    model = await first_model(url)
    bodies = [body(plan.shape, model, draw) for _ in range(plan.rounds + 1)]
    samples = [checked(await measure(url + plan.shape.path, b, PATIENCE)) for b in bodies]
    return samples[1:]


async def under_load(plan: Plan, url: str, draw: random.Random) -> list[Sample]:
    model = await first_model(url)
    count = max(plan.rounds, 2 * plan.concurrency)
    bodies = [body(plan.shape, model, draw) for _ in range(count)]
    samples = await run(url, bodies, plan.shape, plan.concurrency, PATIENCE, lambda: None)
    return [checked(sample) for sample in samples]


def checked(sample: Sample) -> Sample:
    """Raises ServerError for a request that failed or whose tokens came in too few messages."""
    if sample.error is not None:
        raise ServerError(sample.error)
    if len(sample.itl) < 3:
        raise ServerError("the tokens came in too few messages to see gaps between them")
    return sample


def first_token(sample: Sample) -> float:
    assert sample.ttft is not None  # `checked` has seen tokens
    return sample.ttft


def later_itl(sample: Sample) -> float:
    """The median of all gaps but the one before the second token, seconds."""
    return median(sample.itl[1:])


def hand_off(sample: Sample) -> dict[str, Any]:
    """Raises ServerError where nothing was handed over."""
    if not sample.hand_off or sample.hand_off.get("exposed_ms") is None:
        raise ServerError("the answer does not tell what its hand-off took")
    return dict(sample.hand_off)


def allowed_ms(sample: Sample, plan: Plan, rate: float) -> float:
    """The time that the last chunk's blocks take at `rate` bytes per second, and the slack."""
    told = hand_off(sample)
    blocks = -(-sample.prompt_tokens // BLOCK)
    last = (sample.prompt_tokens - 1) // plan.chunk * plan.chunk // BLOCK  # its first block
    each = float(told["transferred_bytes"]) / blocks
    return (blocks - last) * each / rate * 1000 + SLACK_MS


def show(rows: Sequence[Row], times: dict[str, float], plan: Plan, as_object: bool) -> None:
    if as_object:
        found = [{**asdict(row), "holds": row.holds} for row in rows]
        click.echo(json.dumps({"plan": asdict(plan), "rows": found, "times_ms": times}, indent=2))
        return
    for name, value in times.items():
        click.echo(f"{name.replace('_', ' '):<24} {value:8.2f} ms")
    for row in rows:
        r = row.ratio
        click.echo(
            f"{row.name:<56} {r.median:.3f} ({r.low:.3f} to {r.high:.3f}, {r.rounds}); "
            f"target {row.target:g}{'' if row.holds else ', MISSED'}"
        )


if __name__ == "__main__":
    main()
