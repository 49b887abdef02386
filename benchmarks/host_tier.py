"""Time to the first token of a prompt whose KV lies in host memory, against computing it anew and
against finding it in the KV pool; and what a copy of one block costs.

python -m benchmarks.host_tier --input-len 2000 --rounds 10
"""

import asyncio
import json
import random
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from baton.cluster.http_stream import ServerError, request
from baton.core.layout import LayoutDescriptor
from baton.engine.blocks.host_blocks import HostBlocks
from baton.engine.blocks.kv_pool import KvPool
from benchmarks.load import first_model, measure
from benchmarks.measures import Ratio, ratio_of
from benchmarks.prefix_cache import OUTPUT, PATIENCE, checked
from benchmarks.processes import cluster, folder_of, of_a_cluster
from benchmarks.prompts import Shape, body

BLOCK = 16  # tokens
HITS = "baton_host_cache_hits_total"
OTHERS = 4  # prompts, more than a pool holds
COPIED = 128  # blocks between two readings of the clock


@click.command()
@of_a_cluster(least_input=BLOCK + 1)
def main(
    model: Path | None,
    prefill_workers: int,
    decode_workers: int,
    input_len: int,
    rounds: int,
    token_ids: tuple[int, int],
    seed: int | None,
) -> None:
    """Starts a cluster whose pools hold three prompts, with host memory beside them.

    Exit code 1: what came from host memory was not faster than computing it.
    """
    shape = Shape("completions", input_len, OUTPUT, token_ids)
    draw = random.Random(chosen := secrets.randbits(32) if seed is None else seed)
    try:
        with folder_of(model) as folder:
            layout = layout_of(folder)
            words = [
                f"--model={folder}",
                f"--prefill-workers={prefill_workers}",
                f"--decode-workers={decode_workers}",
                *pool_flags(layout, input_len),
            ]
            with cluster(words) as url:
                click.echo(f"seed {chosen}")
                rows = asyncio.run(compare(url, shape, draw, rounds, 2 if prefill_workers else 1))
            show_copies(layout)
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    ratio = show(rows)
    sys.exit(0 if ratio.high < 1 else 1)


@dataclass(frozen=True, slots=True)
class Row:
    """TTFT of one prompt, seconds."""

    anew: float
    pool: float
    host: float


def layout_of(folder: Path) -> LayoutDescriptor:
    """Of the model's KV in the dtype of its checkpoint."""
    config = json.loads((folder / "config.json").read_text())
    heads = config["num_attention_heads"]
    return LayoutDescriptor(
        config["num_hidden_layers"],
        config.get("num_key_value_heads", heads),
        config.get("head_dim") or config["hidden_size"] // heads,
        BLOCK,
        config.get("dtype") or config["torch_dtype"],
    )


def pool_flags(layout: LayoutDescriptor, input_len: int) -> list[str]:
    """A pool for three prompts with their answers, and host memory for eight."""
    blocks = layout.blocks_for(input_len + OUTPUT)
    return [
        f"--kv-cache-memory-bytes={(3 * blocks) * layout.block_bytes}",
        f"--kv-offloading-size={8 * blocks * layout.block_bytes / 2**30:.4f}",
    ]


async def compare(
    url: str, shape: Shape, draw: random.Random, rounds: int, sides: int
) -> list[Row]:
    """Each round: a fresh prompt, the same again, four others, which push it out of the pools,
    and the first again, which `sides` workers bring back. One more round before them is not measured.
    """
    model = await first_model(url)
    rows: list[Row] = []

    async def ttft(wanted: dict[str, object], cached: bool) -> float:
        sample = checked(await measure(url + shape.path, wanted, PATIENCE))
        expected = (shape.input_len - 1) // BLOCK * BLOCK if cached else 0
        if sample.cached_tokens != expected or sample.ttft is None:
            raise ServerError(f"{sample.cached_tokens} tokens were cached, not {expected}")
        return sample.ttft

    for number in range(rounds + 1):
        wanted = body(shape, model, draw)
        anew, pool = await ttft(wanted, False), await ttft(wanted, True)
        for _ in range(OTHERS):
            await ttft(body(shape, model, draw), False)
        before = await host_hits(url)
        host = await ttft(wanted, True)
        brought = await host_hits(url) - before
        if brought != sides * ((shape.input_len - 1) // BLOCK * BLOCK):
            raise ServerError(f"{brought} tokens came from host memory: too many or too few")
        if number:
            rows.append(Row(anew, pool, host))
            times = (f"{seconds * 1e3:7.1f} ms" for seconds in (anew, pool, host))
            click.echo(f"round {number}/{rounds}  anew, pool, host: {'  '.join(times)}")
    return rows


async def host_hits(url: str) -> int:
    """Tokens that came from host memory so far, summed over the workers."""
    total = 0.0
    for worker in json.loads(await _text(f"{url}/status"))["workers"]:
        for line in (await _text(worker["metrics_url"])).splitlines():
            if line.startswith(HITS):
                total += float(line.rpartition(" ")[2])
    return int(total)


async def _text(url: str) -> str:
    async with request(url) as lines:
        return (b"\n".join([line async for line in lines])).decode()


def show(rows: list[Row]) -> Ratio:
    anew, pool, host = (
        median(values) * 1e3
        for values in zip(*((r.anew, r.pool, r.host) for r in rows), strict=True)
    )
    click.echo(f"TTFT median: anew {anew:.1f} ms, pool {pool:.1f} ms, host memory {host:.1f} ms")
    ratio = ratio_of([(row.host, row.anew) for row in rows])
    for name, each in (
        ("host / anew", ratio),
        ("pool / anew", ratio_of([(row.pool, row.anew) for row in rows])),
        ("host / pool", ratio_of([(row.host, row.pool) for row in rows])),
    ):
        click.echo(
            f"{name}: {each.median:.3f} ({each.low:.3f} to {each.high:.3f}, {each.rounds} rounds)"
        )
    return ratio


def show_copies(layout: LayoutDescriptor) -> None:
    """Blocks of this model, and of 1.75 MiB, which is what 16 tokens of Qwen3-0.6B take."""
    for shape in (layout, LayoutDescriptor(28, 8, 128, BLOCK, "bfloat16")):
        with KvPool(shape, COPIED) as pool:
            slots = HostBlocks(pool, COPIED)
            for block in range(COPIED):  # pages of both are mapped before it counts
                slots.bring(block, block)
            keep, bring = seconds_of(slots.keep), seconds_of(slots.bring)
            slots.close()
        size = shape.block_bytes
        click.echo(
            f"a block of {size / 2**20:.3f} MiB: kept in {keep * 1e3:.3f} ms "
            f"({size / keep / 1e9:.1f} GB/s), brought back in {bring * 1e3:.3f} ms "
            f"({size / bring / 1e9:.1f} GB/s)"
        )


def seconds_of(copy: Callable[[int, int], None]) -> float:
    """Of one copy: the median over 7 turns of many."""
    turns: list[float] = []
    for _ in range(7):
        start = time.perf_counter()
        for block in range(COPIED):
            copy(block, COPIED - 1 - block)
        turns.append((time.perf_counter() - start) / COPIED)
    return median(turns)


if __name__ == "__main__":
    main()
