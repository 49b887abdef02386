"""A server of ours beside another project's, at one concurrency after the other, in turns.

python -m benchmarks.peer --ours http://127.0.0.1:8000 --peer http://127.0.0.1:18001 --concurrency 1,4,16
"""

import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import click

from baton.cluster.http_stream import ServerError
from benchmarks.load_options import load_options
from benchmarks.measures import Summary, headline, ratio_of
from benchmarks.prompts import Shape
from benchmarks.report import as_json
from benchmarks.serve import Plan, one_round, warm_up

_REST = 1.0  # seconds; threads of the server that was measured last stop spinning
_SCALE = {"tokens/s": 1.0, "ITL p99/median": 1.0}  # else seconds, shown as ms
_NAMES = {
    "output_tokens_per_second": "tokens/s",
    "ttft": "TTFT median",
    "ttft_p99": "TTFT p99",
    "tpot": "TPOT median",
    "itl": "ITL median",
    "itl_p99": "ITL p99",
}

Pair = tuple[Summary, Summary]  # ours, the peer's


class Numbers(click.ParamType[list[int]]):
    """1,4,16"""

    name = "N,N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        if isinstance(value, list):
            return value
        numbers = [int(word) if word.isdecimal() else 0 for word in str(value).split(",")]
        if min(numbers) < 1:
            self.fail(f"{value} is no list of whole numbers above 0, such as 1,4,16", param, ctx)
        return numbers


@dataclass(frozen=True, slots=True)
class Sides:
    ours: str
    peer: str

    def in_turn(self, number: int) -> tuple[str, str]:
        """Who goes first alternates."""
        return (self.ours, self.peer) if number % 2 == 0 else (self.peer, self.ours)


@click.command()
@click.option("--ours", default="http://127.0.0.1:8000", show_default=True, help="A's address.")
@click.option("--peer", required=True, help="B's address: any server that speaks OpenAI's API.")
@click.option("--concurrency", "clients", type=Numbers(), default="1,4,16", show_default=True)
@click.option(
    "--requests-per-client",
    default=2,
    show_default=True,
    type=click.IntRange(1),
    help="In each turn.",
)
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--input-len", default=512, show_default=True, type=click.IntRange(1), help="Tokens.")
@click.option(
    "--output-len", default=128, show_default=True, type=click.IntRange(2), help="Tokens."
)
@load_options
def main(
    ours: str,
    peer: str,
    clients: list[int],
    requests_per_client: int,
    rounds: int,
    input_len: int,
    output_len: int,
    token_ids: tuple[int, int],
    timeout: float,
    seed: int | None,
    as_object: bool,
) -> None:
    """Rates and times of two servers under the same prompts, and their ratios round by round."""
    shape = Shape("completions", input_len, output_len, token_ids)
    seed = secrets.randbits(32) if seed is None else seed
    plans = [
        Plan(shape, None, requests_per_client * count, count, min(count, 4), timeout, seed)
        for count in clients
    ]
    try:
        found = asyncio.run(measure(Sides(ours, peer), plans, rounds))
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if as_object:
        click.echo(json.dumps(_object(plans, found), indent=2))
    else:
        click.echo("\n".join(_lines(plans, found)))
    sys.exit(any(summary.errors for pairs in found for pair in pairs for summary in pair))


async def measure(sides: Sides, plans: Sequence[Plan], rounds: int) -> list[list[Pair]]:
    """Per plan its rounds. A round holds all plans, so that a slow hour hits each alike."""
    for url in (sides.ours, sides.peer):
        await warm_up(plans[-1], url)
    found: list[list[Pair]] = [[] for _ in plans]
    for number in range(rounds):
        for index, plan in enumerate(plans):
            seeded = replace(plan, seed=plan.seed + 1000 * index)
            seen: dict[str, Summary] = {}
            for url in sides.in_turn(number):
                await asyncio.sleep(_REST)
                title = f"round {number + 1}/{rounds}, {plan.concurrency} clients, {url}"
                seen[url] = await one_round(seeded, url, title, number)
            found[index].append((seen[sides.ours], seen[sides.peer]))
    return found


def figures(summary: Summary) -> dict[str, float]:
    """Times in seconds; without those that no request got to."""
    numbers = headline(summary)
    shown = {name: numbers[key] for key, name in _NAMES.items() if key in numbers}
    if summary.itl is not None and summary.itl.median:
        shown["ITL p99/median"] = summary.itl.p99 / summary.itl.median
    return shown


def table(pairs: Sequence[Pair]) -> list[str]:
    """Ours, the peer's, ours / the peer's: each the median of the rounds with the lowest and highest."""
    lines = [f"{'':<15} {'ours':>26} {'peer':>26} {'ours / peer':>24}"]
    both = [(figures(ours), figures(peer)) for ours, peer in pairs]
    for name in both[0][0]:
        rounds = [(a[name], b[name]) for a, b in both if name in a and b.get(name)]
        if not rounds:
            continue
        scale = _SCALE.get(name, 1e3)
        ours, peer = ([scale * pair[side] for pair in rounds] for side in (0, 1))
        ratio = ratio_of(rounds)
        told = f"{ratio.median:.3f} ({ratio.low:.3f}-{ratio.high:.3f})"
        lines.append(f"{name:<15} {_range(ours):>26} {_range(peer):>26} {told:>24}")
    return lines


def _range(values: Sequence[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def _lines(plans: Sequence[Plan], found: Sequence[Sequence[Pair]]) -> list[str]:
    lines = [f"seed {plans[0].seed}, times in ms, rounds: {len(found[0])}"]
    for plan, pairs in zip(plans, found, strict=True):
        shape = plan.shape
        title = f"{shape.input_len}/{shape.output_len} tokens, {plan.concurrency} clients"
        lines += ["", f"{title}, {plan.requests} requests a turn", *table(pairs)]
        for name, side in (("ours", 0), ("peer", 1)):
            errors = _errors([pair[side] for pair in pairs])
            lines += [f"error of {name}: {count} x {what}" for what, count in errors]
    return lines


def _errors(summaries: Sequence[Summary]) -> list[tuple[str, int]]:
    return [item for summary in summaries for item in summary.errors.items()]


def _object(plans: Sequence[Plan], found: Sequence[Sequence[Pair]]) -> dict[str, Any]:
    cases = [
        {
            "plan": asdict(plan),
            "rounds": [{"ours": as_json(a), "peer": as_json(b)} for a, b in pairs],
        }
        for plan, pairs in zip(plans, found, strict=True)
    ]
    return {"cases": cases}


if __name__ == "__main__":
    main()
