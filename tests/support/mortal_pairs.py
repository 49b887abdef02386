"""Two pairs of scripted workers that die when told to, and what a test asks of them."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from baton.core.worker_info import Role
from gateway.prompts.tokenizer import ChatTokenizer
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import FakeWorker
from tests.support.gateway_reading import events

SEED = 7
STREAM = {"stream": True}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
NAMES = r"(chatcmpl|cmpl|call|chatcmpl-tool|resp|msg|fc|rs|toolu)[-_][0-9a-f-]{8,}"
CHANGING = r'"(created|created_at|completed_at)": ?[0-9.]+'
WAY = r',?"kv_transfer_params": ?{[^}]*}'


@asynccontextmanager
async def two_pairs_of(folder: Path, **settings: Any) -> AsyncIterator[GatewayUnderTest]:
    """Two workers of each role; none of them holds a request when it ends."""
    async with running_gateway(folder, tool_call_parser="hermes", **settings) as gateway:
        for number in range(2):
            await gateway.join(f"p{number}", Role.PREFILL)
            await gateway.join(f"d{number}", Role.DECODE)
        yield gateway
        await gateway.until_idle()


def ids_of(tokenizer: ChatTokenizer, text: str) -> list[int]:
    return tokenizer._encode(text, False)


def plain(text: str) -> str:
    """Without what differs between any two answers."""
    text = re.sub(WAY, "", re.sub(CHANGING, r'"\1":0', text))
    return re.sub(NAMES, "NAME", text)


def by_choice(text: str) -> list[list[Any]]:
    """A stream's events, sorted by the choice that they tell of; its steps are those of any run."""
    told: dict[int, list[Any]] = {}
    for event in events(text):
        choices = event["choices"]
        told.setdefault(choices[0]["index"] if choices else -1, []).append(event)
    return [told[index] for index in sorted(told)]


async def post(gateway: GatewayUnderTest, path: str, body: dict[str, Any]) -> httpx.Response:
    response = await gateway.client.post(path, json={"seed": SEED, **body})
    assert response.status_code == 200, response.text
    return response


def decodes(gateway: GatewayUnderTest) -> list[FakeWorker]:
    return [worker for worker in gateway.workers if worker.role is Role.DECODE]


def requests(gateway: GatewayUnderTest, role: Role = Role.DECODE) -> list[Any]:
    """In the order of their attempts."""
    workers = [worker for worker in gateway.workers if worker.role is role]
    asked = [call.request for worker in workers for call in worker.calls.all]
    return sorted(asked, key=lambda request: request.attempt)


def forget(gateway: GatewayUnderTest) -> None:
    for worker in gateway.workers:
        worker.calls.all.clear()


async def failovers(gateway: GatewayUnderTest) -> dict[str, int]:
    """Breaks that were followed by more tokens, by their reason."""
    page = (await gateway.client.get("/metrics")).text
    family = r'baton_failovers_total{.*reason="(\w+)",result="resumed"} ([0-9.]+)'
    totals: Counter[str] = Counter()
    for reason, count in re.findall(family, page):
        totals[reason] += int(float(count))
    return dict(totals)
