"""Workers whose KV caches do not fit are never paired, and those who run the cluster are told."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from baton.core.worker_info import Role
from tests.support.gateway_cluster import SECRET, GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import FakeWorker
from tests.support.gateway_members import make_fingerprint
from tests.support.gateway_reading import CHAT, HI

WHY = (
    "no prefill worker can exchange KV caches with it: dtype is 'bfloat16' here and 'float32' there"
)


async def odd_one(gateway: GatewayUnderTest, worker_id: str, role: Role) -> FakeWorker:
    """Of the same model, computing in another type."""
    fingerprint = replace(make_fingerprint("m", gateway.tokenizer_digest), dtype="bfloat16")
    worker = FakeWorker(worker_id, role, fingerprint)
    gateway.workers.append(worker)
    await worker.start(gateway.registry, SECRET)
    await gateway.until_known(worker_id)
    return worker


async def status_lines(gateway: GatewayUnderTest) -> list[str]:
    """What `baton status` prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "baton.cluster.cli", "status"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "BATON_URL": str(gateway.client.base_url)},
    )
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().splitlines()


async def test_who_has_no_partner_is_listed_with_the_difference_and_gets_no_request(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        odd = await odd_one(gateway, "d1", Role.DECODE)
        for _ in range(3):
            assert (await gateway.client.post(CHAT, json={"messages": HI})).status_code == 200
        assert (len(prefill.calls.all), len(decode.calls.all), odd.calls.all) == (3, 3, [])
        told = {w["id"]: w for w in (await gateway.client.get("/status")).json()["workers"]}
        assert {name: w["reason"] for name, w in told.items()} == {
            "p0": None,
            "d0": None,
            "d1": WHY,
        }
        assert told["d1"]["state"] == "unusable"
        assert (await status_lines(gateway))[-1] == f"d1 cannot be used: {WHY}"


async def test_a_partner_that_comes_makes_it_usable(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        odd = await odd_one(gateway, "d1", Role.DECODE)
        partner = await odd_one(gateway, "p1", Role.PREFILL)
        await decode_and_prefill_gone(gateway)
        answer = await gateway.client.post(CHAT, json={"messages": HI})
        assert answer.status_code == 200
        assert answer.json()["kv_transfer_params"]["prefill_worker"] == "p1"
        assert len(odd.calls.all) == len(partner.calls.all) == 1


async def decode_and_prefill_gone(gateway: GatewayUnderTest) -> None:
    for worker in gateway.workers[:2]:
        await worker.stop()
        await gateway.until_gone(worker.worker_id)
