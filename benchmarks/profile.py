"""Measures one prefill and one decode worker, and writes the profile that `baton simulate` reads.

python -m benchmarks.profile --out profile.yaml --model FOLDER

A cluster of two workers is started and asked for prompts and batches of several sizes, one size at
a time. What the steps took the workers tell themselves, on the stream that gateways hear; a linear
model is fitted to it, the hand-off's to what answers say of it.
"""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import yaml

from baton.cluster.api_client import ApiClient
from baton.cluster.simulator.profile import Profile
from baton.cluster.status_page import fetch_status
from baton.core.step_totals import NO_TOTALS, StepTotals
from baton.core.worker_info import WorkerLoad
from baton.engine.limits import MIXED_ON_CPU
from baton.worker.settings import WorkerSettings
from benchmarks.load import first_model, measure
from benchmarks.measures import Sample
from benchmarks.processes import cluster
from benchmarks.prompts import Shape, body
from gateway.members.worker_client import WorkerClient
from gateway.placing.fit import Fit
from gateway.placing.speed_model import READING, WRITING

SECRET = "profile"
PROMPTS = (32, 128, 512, 1024, 2048, 3500)  # tokens
BATCHES = (1, 2, 4, 8, 16, 32)
CONTEXTS = (64, 1024)  # tokens, of each sequence of a batch
ANSWER = 48  # tokens


@click.command()
@click.option(
    "--model", required=True, type=click.Path(exists=True, path_type=Path), help="Folder."
)
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--token-ids", nargs=2, type=int, default=(300, 1000), show_default=True)
@click.option("--note", default="", help="Where it was measured; goes into the file.")
def main(model: Path, out: Path, rounds: int, token_ids: tuple[int, int], note: str) -> None:
    """Write the profile OUT of the workers of MODEL on this machine."""
    words = ["--prefill-workers=1", "--decode-workers=1", f"--model={model}"]
    with cluster([*words, f"--cluster-secret={SECRET}", "--placement-policy=round_robin"]) as url:
        found = asyncio.run(measured(url.removesuffix("/v1"), rounds, token_ids))
    profile = fitted(*found, model, note)
    out.write_text(yaml.safe_dump(asdict(profile), sort_keys=False), "utf-8")
    click.echo(out.read_text("utf-8"), nl=False)


Steps = list[StepTotals]


async def measured(
    url: str, rounds: int, token_ids: tuple[int, int]
) -> tuple[Steps, list[Sample], int]:
    """What the workers' steps took, one entry per size and worker; the answers; blocks of a pool."""
    workers = (await asyncio.to_thread(_status, url))["workers"]
    model, draw = await first_model(url), random.Random(1)
    steps: Steps = []
    samples: list[Sample] = []
    last = {worker["address"]: NO_TOTALS for worker in workers}
    sizes = [(tokens, 1, 2) for tokens in PROMPTS]
    sizes += [(context, batch, ANSWER) for context in CONTEXTS for batch in BATCHES]
    for tokens, batch, answer in [(64, 4, 16), *sizes * rounds]:  # the first one warms up
        shape = Shape("completions", tokens, answer, token_ids)
        bodies = [body(shape, model, draw) for _ in range(batch)]
        samples += await asyncio.gather(*(measure(url + shape.path, b, 300) for b in bodies))
        for address, before in last.items():
            now = await _totals(address)
            last[address] = now
            steps.append(
                StepTotals(now.writing.minus(before.writing), now.reading.minus(before.reading))
            )
    failed = [one.error for one in samples if one.error is not None]
    if failed:
        raise click.ClickException(f"{len(failed)} requests failed: {failed[0]}")
    told = (await asyncio.to_thread(_status, url))["workers"]
    return steps[len(last) :], samples[4:], min(worker["total_blocks"] for worker in told)


def fitted(steps: Steps, samples: list[Sample], num_blocks: int, model: Path, note: str) -> Profile:
    reading, writing, link = Fit(READING, 1.0), Fit(WRITING, 1.0), Fit((2e-3, 1e-10), 1.0)
    for one in steps:
        if (w := one.writing).steps:
            writing.add((w.steps, w.sequences, w.context_tokens), w.seconds)
        if (r := one.reading).steps and not r.sequences:
            reading.add((r.steps, r.read_tokens, r.read_pairs), r.seconds)
    for told in filter(None, (sample.hand_off for sample in samples)):
        if told["exposed_ms"] is not None:
            link.add((1.0, told["transferred_bytes"]), told["exposed_ms"] / 1e3)
    latency, per_byte = link.theta
    read_step, read_token, read_pair = reading.theta
    write_step, write_sequence, write_context = writing.theta
    config = json.loads((model / "config.json").read_text("utf-8"))
    defaults = WorkerSettings(model=str(model))
    heads = config["num_attention_heads"]
    return Profile(
        read_step=read_step,
        read_token=read_token,
        read_pair=read_pair,
        write_step=write_step,
        write_sequence=write_sequence,
        write_context=write_context,
        link_seconds=latency,
        link_bytes_per_second=1 / max(per_byte, 1e-12),
        num_layers=config["num_hidden_layers"],
        num_kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        dtype=config.get("dtype") or config.get("torch_dtype") or "float32",
        block_size=defaults.block_size,
        num_blocks=num_blocks,
        max_num_seqs=defaults.max_num_seqs,
        max_num_batched_tokens=defaults.max_num_batched_tokens,
        max_mixed_prompt_tokens=MIXED_ON_CPU,
        step_noise=0.1,
        note=note or f"measured on {os.cpu_count()} CPUs; step_noise is an estimate",
    )


def _status(url: str) -> dict[str, Any]:
    return fetch_status(ApiClient(url))


async def _totals(address: str) -> StepTotals:
    """Once the worker has nothing to do."""
    client = WorkerClient(address, SECRET)
    try:
        async with asyncio.timeout(60), aclosing(client.watch("")) as news:
            async for load in _loads(news):
                if not (load.running or load.waiting or load.leased_blocks):
                    return load.steps
    finally:
        await client.close()
    raise click.ClickException(f"the worker at {address} ended")


async def _loads(news: AsyncIterator[Any]) -> AsyncIterator[WorkerLoad]:
    async for one in news:
        if isinstance(one, WorkerLoad):
            yield one


if __name__ == "__main__":
    main()
