"""Time to the first token of a second turn: its first answer pulled back, against computed again.

python -m benchmarks.second_turn --model FOLDER --input-len 500 --answer-len 256 --rounds 10
"""

import asyncio
import json
import random
import secrets
import sys
from pathlib import Path
from statistics import median
from typing import Any

import click

from baton.cluster.http_stream import ServerError, request
from benchmarks.load import first_model, measure
from benchmarks.measures import Ratio, Sample, ratio_of
from benchmarks.processes import cluster, folder_of, of_a_cluster
from benchmarks.prompts import Shape, body

OUTPUT = 4  # tokens of the second answer
QUESTION = 20  # tokens of the second question
HEARD = 0.3  # seconds, in which the gateway hears what the decode worker has
PATIENCE = 300.0  # seconds for one request


@click.command()
@of_a_cluster(least_input=32)
@click.option(
    "--answer-len", default=256, show_default=True, type=click.IntRange(80), help="Tokens."
)
def main(
    model: Path | None,
    prefill_workers: int,
    decode_workers: int,
    input_len: int,
    answer_len: int,
    rounds: int,
    token_ids: tuple[int, int],
    seed: int | None,
) -> None:
    """Starts a cluster. Each round holds two conversations of equal sizes, whose prompts prefill has
    cached: one goes on with the answer that decode wrote, one with an answer nobody has. Exit code
    1: pulling it took longer than computing it.
    """
    shape = Shape("completions", input_len, answer_len, token_ids)
    draw = random.Random(chosen := secrets.randbits(32) if seed is None else seed)
    words = [f"--prefill-workers={prefill_workers}", f"--decode-workers={decode_workers}"]
    try:
        with folder_of(model) as folder, cluster([f"--model={folder}", *words]) as url:
            click.echo(f"seed {chosen}")
            ratio = asyncio.run(compare(url, shape, draw, rounds))
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"pulled / computed TTFT: {ratio.median:.3f} "
        f"({ratio.low:.3f} to {ratio.high:.3f}, {ratio.rounds} rounds)"
    )
    sys.exit(0 if ratio.median <= 1 else 1)


async def compare(url: str, shape: Shape, draw: random.Random, rounds: int) -> Ratio:
    """Who goes first alternates; one more round before them is not measured."""
    model = await first_model(url)
    pairs: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        found: dict[bool, Sample] = {}
        for known in (True, False) if number % 2 else (False, True):
            found[known] = await second_turn(url, shape, model, draw, known)
        pulled, computed = found[True], found[False]
        if number and pulled.ttft and computed.ttft:
            pairs.append((pulled.ttft, computed.ttft))
            click.echo(f"round {number}/{rounds}  {shown(pulled)}  {shown(computed)}")
    click.echo(
        f"TTFT median: pulled {median(a for a, _ in pairs) * 1e3:.1f} ms, "
        f"computed {median(b for _, b in pairs) * 1e3:.1f} ms"
    )
    return ratio_of(pairs)


async def second_turn(
    url: str, shape: Shape, model: str, draw: random.Random, known: bool
) -> Sample:
    """Behind a first one. `known`: it goes on with what was answered. Raises ServerError."""
    first = body(shape, model, draw)
    answer = await answered(url + shape.path, first)
    await asyncio.sleep(HEARD)
    low, high = shape.token_ids
    if not known:
        answer = [draw.randrange(low, high) for _ in answer]
    question = [draw.randrange(low, high) for _ in range(QUESTION)]
    prompt = [*first["prompt"], *answer, *question]
    wanted = {**first, "prompt": prompt, "max_tokens": OUTPUT}
    sample = await measure(url + shape.path, wanted, PATIENCE)
    if sample.error is not None or sample.hand_off is None:
        raise ServerError(sample.error or "the answer tells nothing of its way")
    if bool(sample.hand_off.get("prefix_tokens_moved")) is not known:
        raise ServerError(f"the prefix should have moved: {known}, but {sample.hand_off}")
    return sample


async def answered(url: str, wanted: dict[str, Any]) -> list[int]:
    """The ids of the answer."""
    whole = {**wanted, "stream": False, "return_token_ids": True}
    del whole["stream_options"]
    async with asyncio.timeout(PATIENCE), request(url, whole) as lines:
        text = b"\n".join([line async for line in lines])
    try:
        return list(json.loads(text)["choices"][0]["token_ids"])
    except (LookupError, ValueError, TypeError) as error:
        raise ServerError("the answer tells no token ids") from error


def shown(sample: Sample) -> str:
    moved = sample.hand_off or {}
    ttft = f"{(sample.ttft or 0) * 1e3:7.1f} ms"
    waited = moved.get("prefix_ms")
    pulled = f", {moved['prefix_tokens_moved']} moved in {waited} ms" if waited else ""
    return f"{ttft} ({sample.cached_tokens}/{sample.prompt_tokens} cached{pulled})"


if __name__ == "__main__":
    main()
