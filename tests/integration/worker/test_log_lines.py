"""What workers log about a request has its id, whoever's task or timer it was that logged it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from baton.core.handoff import new_id
from baton.core.worker_info import Role
from prefill_worker.relay import Relay
from tests.support.engine_works import GREEDY, prompt_of
from tests.support.log_lines import log_lines
from tests.support.worker_pair import (
    Served,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Served, Served]]:
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        yield prefill, decode


async def relay(prefill: Served, decode: Served, name: str) -> None:
    """One request of this name, over both."""
    handoff, prompt = handoff_to(prefill), prompt_of(100)
    asked = generate_request(handoff, prompt, GREEDY)
    asked.request_id = name
    answer = aiter(decode.generate(asked))
    assert (await anext(answer)).HasField("reserved")
    reads = prefill_request(handoff, prompt, GREEDY)
    reads.request_id = name
    reading = asyncio.ensure_future(drained(prefill.prefill(reads)))
    async for _ in answer:
        pass
    await reading


async def drained(call: Any) -> None:
    async for _ in call:
        pass


def about_transfers(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["message"].startswith("Transfer ")]


async def test_a_hand_offs_end_names_its_request(pair: tuple[Served, Served]) -> None:
    prefill, decode = pair
    with log_lines("kv_transfer") as lines:
        names = [f"{new_id()}-{number}" for number in range(3)]
        await asyncio.gather(*(relay(prefill, decode, name) for name in names))
        await prefill.until_idle()
    assert sorted(line["request_id"] for line in about_transfers(lines)) == sorted(names)


async def test_a_pull_with_a_wrong_ticket_names_the_request_it_was_for(
    pair: tuple[Served, Served],
) -> None:
    prefill, decode = pair
    handoff, prompt = handoff_to(prefill), prompt_of(100)
    with log_lines("kv_transfer") as lines:
        reads = prefill_request(handoff, prompt, GREEDY)
        reads.ticket = b"another"
        reading = asyncio.ensure_future(drained(prefill.prefill(reads)))
        asked = generate_request(handoff, prompt, GREEDY)
        asked.request_id = "the pull's"
        with pytest.raises(grpc.aio.AioRpcError):
            await drained(decode.generate(asked))
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await prefill.until_idle()
    refused = [line for line in lines if "a ticket is" in line["message"]]
    assert {line["request_id"] for line in refused} == {"the pull's"}


async def test_an_event_that_is_not_taken_names_its_request(
    pair: tuple[Served, Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(relay: Relay, event: object) -> None:
        raise RuntimeError("a defect")

    prefill, _ = pair
    monkeypatch.setattr(Relay, "take", defect)
    with log_lines("baton.worker") as lines:
        reads = prefill_request(handoff_to(prefill), prompt_of(40), GREEDY)
        reading = prefill.prefill(reads)
        pending = asyncio.ensure_future(drained(reading))
        await prefill.until(lambda load: bool(lines))
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
    assert {line["request_id"] for line in lines} == {reads.request_id}
