"""Time to the first token of a prompt that was read before, against the first time.

python -m benchmarks.prefix_cache --model FOLDER --input-len 2000 --rounds 10
"""

import asyncio
import random
import secrets
import sys
from pathlib import Path
from statistics import median

import click

from baton.cluster.http_stream import ServerError
from benchmarks.load import first_model, measure
from benchmarks.measures import Ratio, Sample, ratio_of
from benchmarks.processes import cluster, folder_of, of_a_cluster
from benchmarks.prompts import Shape, body

TARGET = 0.25  # of the first TTFT
OUTPUT = 4  # tokens: enough to see that decode has taken over
PATIENCE = 300.0  # seconds for one request


@click.command()
@of_a_cluster(least_input=1)
def main(
    model: Path | None,
    prefill_workers: int,
    decode_workers: int,
    input_len: int,
    rounds: int,
    token_ids: tuple[int, int],
    seed: int | None,
) -> None:
    """Starts a cluster; each round sends a fresh prompt twice. Exit code 1: the target was missed."""
    shape = Shape("completions", input_len, OUTPUT, token_ids)
    draw = random.Random(chosen := secrets.randbits(32) if seed is None else seed)
    words = [f"--prefill-workers={prefill_workers}", f"--decode-workers={decode_workers}"]
    try:
        with folder_of(model) as folder, cluster([f"--model={folder}", *words]) as url:
            click.echo(f"seed {chosen}")
            ratio = asyncio.run(compare(url, shape, draw, rounds))
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"repeated / first TTFT: {ratio.median:.3f} "
        f"({ratio.low:.3f} to {ratio.high:.3f}, {ratio.rounds} rounds); target {TARGET}"
    )
    sys.exit(0 if ratio.median <= TARGET else 1)


async def compare(url: str, shape: Shape, draw: random.Random, rounds: int) -> Ratio:
    """Prompts never repeat from round to round; one more round before them is not measured."""
    model = await first_model(url)
    pairs: list[tuple[float, float]] = []
    firsts: list[float] = []
    for number in range(rounds + 1):
        wanted = body(shape, model, draw)
        first = checked(await measure(url + shape.path, wanted, PATIENCE))
        again = checked(await measure(url + shape.path, wanted, PATIENCE))
        if number and first.ttft and again.ttft:
            pairs.append((again.ttft, first.ttft))
            firsts.append(first.ttft)
            click.echo(f"round {number}/{rounds}  {shown(first)}  {shown(again)}")
    click.echo(
        f"TTFT median: first {median(firsts) * 1e3:.1f} ms, "
        f"repeated {median(again for again, _ in pairs) * 1e3:.1f} ms"
    )
    return ratio_of(pairs)


def checked(sample: Sample) -> Sample:
    """Raises ServerError for a request that failed or does not say what was cached."""
    if sample.error is not None:
        raise ServerError(sample.error)
    if sample.ttft is None or sample.cached_tokens is None:
        raise ServerError("the answer tells no tokens, or not how many were cached")
    return sample


def shown(sample: Sample) -> str:
    ttft = f"{(sample.ttft or 0) * 1e3:7.1f} ms"
    return f"{ttft} ({sample.cached_tokens}/{sample.prompt_tokens} cached)"


if __name__ == "__main__":
    main()
