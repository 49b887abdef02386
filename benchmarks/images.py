"""What an image costs: to encode it or to find it encoded, by whoever reads the prompt or on a worker of
its own, to read it as a prompt, to hand it over.

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
from baton.engine.machine.host_cores import available_cores
from baton.engine.runners.torch_runner import load_torch_runner
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
    encode: float  # the file, scaling, the tower
    embeddings: float  # on their way to the reader behind the end of the encoding; 0 at home
    prefill: float  # steps of the engine that read the prompt
    rest: float  # of the time to the first token: the gateway, calls, queues
    transfer: float  # of the KV
    exposed: float


HOME, POOL = PLACES = ("prefill", "encode")  # the role of whoever encodes


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
        with cluster([f"--model={folder}", "--encode-workers=1"]) as url:
            for side in sides:
                found = asyncio.run(_asked(url, side, rounds))
                for place in PLACES:
                    _tell(side, rules, place, [one[place] for one in found])
                pairs = [(one[POOL].first_token, one[HOME].first_token) for one in found]
                ratio = ratio_of(pairs)
                click.echo(
                    f"{side:5} px  first token, pool to home: {ratio.median:.2f} "
                    f"({ratio.low:.2f} to {ratio.high:.2f}, {ratio.rounds} rounds)"
                )
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


async def _asked(url: str, side: int, rounds: int) -> list[dict[str, Told]]:
    """Of the cluster, one image after the other, none of them seen before: encoded at home and in the
    pool in turns.
    """
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        found: list[dict[str, Told]] = []
        for number in range(rounds + 1):
            order = PLACES if number % 2 else PLACES[::-1]
            seeds = {place: 1000 + 2 * number + PLACES.index(place) for place in order}
            told = {place: await _one(client, _photo(side, seeds[place]), place) for place in order}
            if number:
                found.append(told)
    return found


async def _one(client: httpx.AsyncClient, photo: bytes, place: str) -> Told:
    before = await _workers(client)
    spent = await _encode_seconds(client, before[place]["metrics_url"])
    first, params, tokens = await _first_token(client, photo, place)
    spent = await _encode_seconds(client, before[place]["metrics_url"]) - spent
    prefill = await _reading_seconds(client, before[HOME], tokens - params["cached_tokens"])
    behind = (params["images_exposed_ms"] or 0.0) / 1e3
    return Told(
        first_token=1e3 * first,
        encode=1e3 * spent,
        embeddings=1e3 * behind,
        prefill=1e3 * prefill,
        rest=1e3 * (first - spent - behind - prefill),
        transfer=params["transfer_ms"],
        exposed=params["exposed_ms"],
    )


async def _workers(client: httpx.AsyncClient) -> dict[str, Any]:
    """By role, of which there is one each."""
    status = (await client.get("/status")).json()
    return {worker["role"]: worker for worker in status["workers"]}


async def _reading_seconds(client: httpx.AsyncClient, before: Any, tokens: int) -> float:
    """That its engine's steps with so many tokens of prompts have taken since, once it has told them."""
    was = before["steps"]["reading"]
    async with asyncio.timeout(PATIENCE):
        while True:
            now = (await _workers(client))[before["role"]]["steps"]["reading"]
            if now["read_tokens"] - was["read_tokens"] >= tokens:
                return float(now["seconds"] - was["seconds"])


async def _first_token(
    client: httpx.AsyncClient, photo: bytes, place: str
) -> tuple[float, dict[str, Any], int]:
    """Seconds until it came, the answer's `kv_transfer_params`, and the prompt's tokens."""
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
        "stream_options": {"include_usage": True},
        "kv_transfer_params": {"avoid": [] if place == POOL else ["encode-0"]},
    }
    first, tokens = 0.0, 0
    params: dict[str, Any] = {}
    began = time.perf_counter()
    async with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            first = first or time.perf_counter() - began
            params = chunk.get("kv_transfer_params") or params
            tokens = (chunk.get("usage") or {}).get("prompt_tokens", tokens)
    if params.get("transfer_ms") is None:
        raise click.ClickException(f"the prompt was not handed over: {params}")
    if params["encode_worker"] != ("encode-0" if place == POOL else None):
        raise click.ClickException(f"the image was encoded elsewhere: {params}")
    return first, params, tokens


async def _encode_seconds(client: httpx.AsyncClient, page: str) -> float:
    """That the worker of this page has spent on images so far."""
    lines = (await client.get(page)).text.splitlines()
    values = [
        line.split()[1] for line in lines if line.startswith("baton_image_encode_seconds_sum")
    ]
    return float(values[0])


def _tell(side: int, rules: ImageRules, place: str, told: list[Told]) -> None:
    rows, columns = rules.grid(side, side)
    shown = "  ".join(
        f"{name.replace('_', ' ')} {median(getattr(one, name) for one in told):.1f} ms"
        for name in Told.__dataclass_fields__
    )
    click.echo(f"{side:5} px  {rows * columns} tokens  by {place:7}  {shown}")


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
