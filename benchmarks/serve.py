"""Measures a server that speaks OpenAI's API, or two against each other.

python benchmarks/serve.py --url http://127.0.0.1:8000 --input-len 512 --output-len 128
"""

import asyncio
import json
import secrets
import sys
from dataclasses import asdict, dataclass
from typing import Any

import click

from baton.cluster.http_stream import ServerError
from benchmarks.load import first_model, make_bodies, run
from benchmarks.load_options import load_options
from benchmarks.measures import Summary, ratios, summarise
from benchmarks.prompts import Shape
from benchmarks.report import Progress, as_json, comparison, text


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent to every server alike."""

    shape: Shape
    model: str | None
    requests: int
    concurrency: int
    warmup: int
    timeout: float  # seconds, per request
    seed: int


@click.command()
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The server.")
@click.option("--pair", nargs=2, metavar="URL_A URL_B", help="Compare two servers instead.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Of a pair.")
@click.option(
    "--endpoint",
    default="completions",
    show_default=True,
    type=click.Choice(["chat", "completions"]),
)
@click.option("--model", help="Its name; the first that the server lists if left out.")
@click.option(
    "--input-len",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    help="Tokens; words for chat.",
)
@click.option("--output-len", default=64, show_default=True, type=click.IntRange(1), help="Tokens.")
@click.option(
    "--concurrency",
    default=8,
    show_default=True,
    type=click.IntRange(1),
    help="Requests at a time.",
)
@click.option(
    "--requests", default=64, show_default=True, type=click.IntRange(1), help="In a run or round."
)
@click.option(
    "--warmup", default=2, show_default=True, type=click.IntRange(0), help="Requests not measured."
)
@load_options
def main(
    url: str,
    pair: tuple[str, str] | None,
    rounds: int,
    endpoint: str,
    input_len: int,
    output_len: int,
    token_ids: tuple[int, int],
    seed: int | None,
    as_object: bool,
    **sizes: Any,
) -> None:
    """Time to first token, between tokens and per token of a server under load."""
    shape = Shape(endpoint, input_len, output_len, token_ids)
    plan = Plan(shape=shape, seed=secrets.randbits(32) if seed is None else seed, **sizes)
    job = measure_pair(plan, pair, rounds, as_object) if pair else measure_one(plan, url, as_object)
    try:
        errors = asyncio.run(job)
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        errors = True
    sys.exit(1 if errors else 0)


async def measure_one(plan: Plan, url: str, as_object: bool) -> bool:
    """True when a request failed."""
    await warm_up(plan, url)
    summary = await one_round(plan, url, "requests", 0)
    show([f"seed        {plan.seed}", *text(summary)], as_json(summary), plan, as_object)
    return bool(summary.errors)


async def measure_pair(plan: Plan, urls: tuple[str, str], rounds: int, as_object: bool) -> bool:
    """Rounds take turns in who goes first, and both servers get the same prompts."""
    for url in urls:
        await warm_up(plan, url)
    pairs: list[tuple[Summary, Summary]] = []
    for number in range(rounds):
        found: dict[int, Summary] = {}
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            title = f"round {number + 1}/{rounds} {'AB'[side]}"
            found[side] = await one_round(plan, urls[side], title, number)
        pairs.append((found[0], found[1]))
    compared = ratios(pairs)
    lines = [f"seed        {plan.seed}"]
    for index, both in enumerate(pairs, 1):
        for name, summary in zip("AB", both, strict=True):
            lines += [f"--- round {index}, {name}", *text(summary)]
    rows = [{"a": as_json(a), "b": as_json(b)} for a, b in pairs]
    ratio_rows = {name: asdict(value) for name, value in compared.items()}
    show([*lines, *comparison(compared)], {"rounds": rows, "ratios": ratio_rows}, plan, as_object)
    return any(summary.errors for both in pairs for summary in both)


async def warm_up(plan: Plan, url: str) -> None:
    if plan.warmup:
        model = plan.model or await first_model(url.rstrip("/"))
        bodies = make_bodies(plan.shape, model, plan.warmup, plan.seed - 1)
        await run(url.rstrip("/"), bodies, plan.shape, plan.concurrency, plan.timeout, lambda: None)


async def one_round(plan: Plan, url: str, title: str, number: int) -> Summary:
    base = url.rstrip("/")
    model = plan.model or await first_model(base)
    bodies = make_bodies(plan.shape, model, plan.requests, plan.seed + number)
    tick = Progress(title, plan.requests).tick
    return summarise(await run(base, bodies, plan.shape, plan.concurrency, plan.timeout, tick))


def show(lines: list[str], found: dict[str, Any], plan: Plan, as_object: bool) -> None:
    if as_object:
        click.echo(json.dumps({"plan": asdict(plan), **found}, indent=2))
    else:
        click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
