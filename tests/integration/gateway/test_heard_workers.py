"""A worker that the registry has lost stays for as long as it is heard."""

from pathlib import Path

from baton.core.worker_info import Role
from tests.support.gateway_cluster import SECRET, GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import FakeWorker
from tests.support.gateway_reading import CHAT, HI


def heard_instances(gateway: GatewayUnderTest) -> list[str]:
    workers = gateway.gateway.models.first.workers.all()
    return [worker.info.instance_id for worker in workers if worker.load is not None]


async def all_was_read(gateway: GatewayUnderTest) -> None:
    """Until the gateway has read all that happened in the registry before."""
    marker = await gateway.join("marker", Role.PREFILL)
    await marker.stop()
    await gateway.until_gone("marker")


async def test_it_is_used_as_before(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        await prefill.leave()
        await decode.leave()
        await all_was_read(gateway)
        for _ in range(3):
            response = await gateway.client.post(CHAT, json={"messages": HI})
            assert response.status_code == 200
        assert (await gateway.client.get("/health")).status_code == 200


async def test_it_is_gone_once_it_is_silent(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        _, decode = await gateway.pair()
        await decode.leave()
        await all_was_read(gateway)
        await decode.stop()
        await gateway.until_gone("d0")
        assert (await gateway.client.get("/health")).status_code == 503


async def test_another_process_under_its_name_takes_its_place_at_once(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        _, decode = await gateway.pair()
        await decode.leave()
        await all_was_read(gateway)
        again = FakeWorker("d0", Role.DECODE, decode.fingerprint)
        again.instance_id = "again"
        gateway.workers.append(again)
        await again.start(gateway.registry, SECRET)
        await gateway.until(lambda: "again" in heard_instances(gateway))
        assert heard_instances(gateway) == ["again", "instance-of-p0"]
        for _ in range(3):
            response = await gateway.client.post(CHAT, json={"messages": HI})
            assert response.status_code == 200
        assert len(again.calls.all) == 3
        assert decode.calls.all == []
