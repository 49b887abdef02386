"""What an image costs: to encode it or to find it encoded, to read it as a prompt, to hand it over.

python -m benchmarks.images --rounds 7
"""

import asyncio
import base64
import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import httpx
import numpy
from PIL import Image

from baton.core.prompt_images import ImageSpan, PromptImage, image_digest
from baton.engine.config import EngineConfig
from baton.engine.host_cores import available_cores
from baton.engine.torch_runner import load_torch_runner
from baton.images.image_rules import ImageRules, rules_of
from baton.worker.images import Images
from benchmarks.measures import ratio_of
from benchmarks.processes import cluster
from benchmarks.vision_model import make_vision_model

MOST_OF_A_MISS = 0.05  # that finding an image may take
CACHE_BYTES = 256 << 20
PATIENCE = 300.0  # seconds for one request


@dataclass(frozen=True, slots=True)
class Told:
    """Of one request with one image, milliseconds."""

    first_token: float
    encode: float
    rest: float  # of the time to the first token: the gateway, and reading the prompt
    transfer: float
    exposed: float


@click.command()
@click.option(
    "--model",
    type=click.Path(exists=True, path_type=Path),
    help="Its folder; left out: a small random one is made.",
)
@click.option(
    "--sides",
    multiple=True,
    default=(224, 448, 896),
    show_default=True,
    type=click.IntRange(28),
    help="Pixels of square images.",
)
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
def main(model: Path | None, sides: tuple[int, ...], rounds: int) -> None:
    """Exit code 1: an image that is kept encoded takes more than 5 % of one that is not."""
    with _folder_of(model) as folder:
        rules = rules_of(folder)
        if rules is None:
            raise click.ClickException(f"{folder} reads no images")
        kept = asyncio.run(_encoded(folder, rules, sides, rounds))
        with cluster([f"--model={folder}"]) as url:
            for side in sides:
                _tell(side, rules, asyncio.run(_asked(url, side, rounds)))
    sys.exit(0 if kept else 1)


@contextmanager
def _folder_of(model: Path | None) -> Iterator[Path]:
    if model is not None:
        yield model
        return
    with TemporaryDirectory() as scratch:
        make_vision_model(Path(scratch))
        yield Path(scratch)


async def _encoded(folder: Path, rules: ImageRules, sides: tuple[int, ...], rounds: int) -> bool:
    """In this process: each image is encoded, then asked for again. One round more is not measured."""
    config = EngineConfig(kv_cache_memory_bytes=64 << 20, threads=available_cores())
    images = Images(load_torch_runner(str(folder), config).images, CACHE_BYTES)
    fine = True
    for side in sides:
        pairs: list[tuple[float, float]] = []
        for number in range(rounds + 1):
            image = _placed(_photo(side, number), rules, side)
            miss, hit = [await _timed(images, image) for _ in "12"]
            if number:
                pairs.append((hit, miss))
        ratio = ratio_of(pairs)
        fine &= ratio.median <= MOST_OF_A_MISS
        click.echo(
            f"{side:5} px  encoded {median(m for _, m in pairs) * 1e3:8.1f} ms  found "
            f"{median(h for h, _ in pairs) * 1e3:6.3f} ms  ratio {ratio.median:.5f} "
            f"({ratio.low:.5f} to {ratio.high:.5f}, {ratio.rounds} rounds)"
        )
    images.close()
    return fine


async def _timed(images: Images, image: PromptImage) -> float:
    began = time.perf_counter()
    await images.embeddings([image], "", "")
    return time.perf_counter() - began


async def _asked(url: str, side: int, rounds: int) -> list[Told]:
    """Of the cluster, one image after the other, none of them seen before."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        status = (await client.get("/status")).json()
        [page] = [w["metrics_url"] for w in status["workers"] if w["role"] == "prefill"]
        found: list[Told] = []
        for number in range(rounds + 1):
            before = await _encode_seconds(client, page)
            first, params = await _first_token(client, _photo(side, 1000 + number))
            spent = await _encode_seconds(client, page) - before
            told = Told(
                first * 1e3,
                spent * 1e3,
                (first - spent) * 1e3,
                params["transfer_ms"],
                params["exposed_ms"],
            )
            if number:
                found.append(told)
    return found


async def _first_token(client: httpx.AsyncClient, photo: bytes) -> tuple[float, dict[str, Any]]:
    """Seconds until it came, and the answer's `kv_transfer_params`."""
    url = f"data:image/png;base64,{base64.b64encode(photo).decode()}"
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "what is this?"},
    ]
    asked = {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 4,
        "ignore_eos": True,
        "stream": True,
    }
    first = 0.0
    params: dict[str, Any] = {}
    began = time.perf_counter()
    async with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            first = first or time.perf_counter() - began
            params = chunk.get("kv_transfer_params") or params
    if params.get("transfer_ms") is None:
        raise click.ClickException(f"the prompt was not handed over: {params}")
    return first, params


async def _encode_seconds(client: httpx.AsyncClient, page: str) -> float:
    """That the prefill worker has spent on images so far."""
    lines = (await client.get(page)).text.splitlines()
    values = [
        line.split()[1] for line in lines if line.startswith("baton_image_encode_seconds_sum")
    ]
    return float(values[0])


def _tell(side: int, rules: ImageRules, told: list[Told]) -> None:
    rows, columns = rules.grid(side, side)
    shown = "  ".join(
        f"{name.replace('_', ' ')} {median(getattr(one, name) for one in told):.1f} ms"
        for name in Told.__dataclass_fields__
    )
    click.echo(f"{side:5} px  {rows * columns} tokens  {shown}")


def _photo(side: int, seed: int) -> bytes:
    fields = numpy.random.default_rng(seed).integers(0, 256, (8, 8, 3), numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(fields).resize((side, side), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def _placed(photo: bytes, rules: ImageRules, side: int) -> PromptImage:
    rows, columns = rules.grid(side, side)
    return PromptImage(ImageSpan(0, rows, columns, image_digest(photo, "")), photo)


if __name__ == "__main__":
    main()
