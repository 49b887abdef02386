"""Sends requests, so many at a time, and times what comes back."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Any

from baton.cluster.http_stream import ServerError, events, request
from benchmarks.measures import Sample
from benchmarks.prompts import Shape, body, brings_tokens


async def run(
    url: str,
    bodies: list[dict[str, Any]],
    shape: Shape,
    concurrency: int,
    patience: float,
    tick: Callable[[], None],
) -> list[Sample]:
    """One sample per body. `tick` is called whenever a request has ended."""
    waiting = iter(bodies)
    samples: list[Sample] = []

    async def client() -> None:
        for wanted in waiting:
            samples.append(await measure(url + shape.path, wanted, patience))
            tick()

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(client())
    return samples


async def measure(url: str, wanted: dict[str, Any], patience: float) -> Sample:
    """Never raises for what a server may do: a failure is a sample with an error."""
    sent = time.perf_counter()
    arrivals: list[float] = []
    usage: dict[str, Any] = {}
    hand_off: dict[str, Any] | None = None
    error: str | None = None
    try:
        async with asyncio.timeout(patience), request(url, wanted) as lines:
            async for event in events(lines):
                if brings_tokens(event):
                    arrivals.append(time.perf_counter())
                usage = event.get("usage") or usage
                hand_off = event.get("kv_transfer_params") or hand_off
        error = _shortage(usage, wanted["max_tokens"])
    except TimeoutError:
        error = f"no end within {patience:g} s"
    except (ServerError, OSError, ValueError) as failure:
        error = str(failure) or type(failure).__name__
    return Sample(
        sent=sent,
        ended=time.perf_counter(),
        arrivals=tuple(arrivals),
        prompt_tokens=usage.get("prompt_tokens", 0),
        output_tokens=usage.get("completion_tokens", 0),
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        error=error,
        hand_off=hand_off,
    )


def make_bodies(shape: Shape, model: str, requests: int, seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [body(shape, model, draw) for _ in range(requests)]


async def first_model(url: str) -> str:
    """The model that the server names first. Raises ServerError or OSError."""
    async with request(f"{url}/v1/models") as lines:
        text = b"\n".join([line async for line in lines])
    try:
        return str(json.loads(text)["data"][0]["id"])
    except (LookupError, ValueError, TypeError) as error:
        raise ServerError(f"{url}/v1/models lists no model") from error


def _shortage(usage: dict[str, Any], wanted: int) -> str | None:
    got = usage.get("completion_tokens")
    if got is None:
        return "the answer has no usage"
    return None if got == wanted else f"{got} of {wanted} tokens"
