"""A request's wishes for its placement, over HTTP: granted, refused by name, or waited for."""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from baton.core.worker_info import Role
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_reading import CHAT, HI


async def ask(gateway: GatewayUnderTest, **wishes: Any) -> httpx.Response:
    return await gateway.client.post(CHAT, json={"messages": HI, "kv_transfer_params": wishes})


def way(answer: httpx.Response) -> tuple[str | None, str]:
    assert answer.status_code == 200, answer.text
    told = answer.json()["kv_transfer_params"]
    return told["prefill_worker"], told["decode_worker"]


async def test_pins_modes_and_what_is_avoided_decide_who_answers(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        for zone in "ab":
            labels = (("zone", zone),)
            await gateway.join(f"p-{zone}", Role.PREFILL, labels=labels)
            await gateway.join(f"d-{zone}", Role.DECODE, labels=labels)
        for zone in "ab":
            for pin in (f"zone={zone}", {"zone": zone}):
                granted = await ask(gateway, prefill_worker=pin, decode_worker=pin)
                assert way(granted) == (f"p-{zone}", f"d-{zone}")
        assert way(await ask(gateway, prefill_worker="p-a", decode_worker="d-b")) == ("p-a", "d-b")
        assert way(await ask(gateway, avoid=["zone=a"])) == ("p-b", "d-b")
        assert way(await ask(gateway, mode="aggregated", decode_worker="d-b")) == (None, "d-b")
        assert way(await ask(gateway, mode="disaggregated", avoid=["p-a", "d-a"])) == ("p-b", "d-b")
        refused = await ask(gateway, decode_worker="d-c")
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "kv_transfer_params.decode_worker"


async def test_how_long_an_answer_is_to_be_kept_reaches_who_writes_it(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        _, decode = await gateway.pair()
        for number, (wishes, keep_ms) in enumerate([({"keep": 1.5}, 1500), ({}, 0)]):
            assert way(await ask(gateway, **wishes)) == ("p0", "d0")
            assert (await decode.calls.number(number)).request.keep_ms == keep_ms


async def test_a_pin_on_a_worker_that_stays_away_is_told_when_to_come_back(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder, max_queue_seconds=0.5) as gateway:
        await gateway.pair()
        away = await gateway.join("d1", Role.DECODE)
        await away.stop()
        await gateway.until_gone("d1")
        late = await ask(gateway, decode_worker="d1")
        assert late.status_code == 504
        assert int(late.headers["retry-after"]) >= 1
        assert "kv_transfer_params" in late.json()["error"]["message"]


async def test_a_pin_waits_for_its_worker_to_come_back_and_keeps_nobody_else_waiting(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        away = await gateway.join("d1", Role.DECODE)
        await away.stop()
        await gateway.until_gone("d1")
        asked = asyncio.create_task(ask(gateway, decode_worker="d1"))
        await gateway.until_queued(1)
        assert way(await ask(gateway)) == ("p0", "d0")
        await gateway.join("d1", Role.DECODE)
        assert way(await asked) == ("p0", "d1")
