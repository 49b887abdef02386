"""The next turn's prefill is told who may have its beginning, and the answer tells what came."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from baton.core.block_hashes import root_hash, stride_keys
from baton.core.kv_events import STRIDE, KvChange
from baton.core.worker_info import Role
from baton.v1 import prefill_pb2
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import FakeWorker, prefilling
from tests.support.gateway_reading import TEXT

HELD = [5, 6, 7] * 50  # one stride, and a bit of which nobody tells
NEXT = [*HELD, 8, 9]
KEYS = ("prefix_from", "prefix_tokens_moved", "prefix_ms")


async def asked(gateway: GatewayUnderTest, prompt: list[int], **fields: Any) -> Any:
    body = {"prompt": prompt, **fields}
    return (await gateway.client.post(TEXT, json=body)).json()["kv_transfer_params"]


async def named(prefill: FakeWorker, number: int) -> prefill_pb2.PrefixSource | None:
    """Whom the prefill worker's call of this number is told to ask."""
    request = (await prefill.calls.number(number)).request
    return request.prefix if request.HasField("prefix") else None


def holds(gateway: GatewayUnderTest, worker: FakeWorker) -> None:
    """As if the worker had told of it."""
    root = root_hash(worker.fingerprint.digest(), "", "")
    keys = tuple(stride_keys(root, HELD, STRIDE))
    change = KvChange(0, 1, snapshot=True, stored=keys)
    assert gateway.gateway.models.first.workers.prefixes.hear(
        f"instance-of-{worker.worker_id}", change
    )


async def test_a_worker_that_has_told_of_the_beginning_is_named_to_prefill(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        told = await asked(gateway, NEXT)
        assert [told[key] for key in KEYS] == [None] * 3
        assert await named(prefill, 0) is None
        holds(gateway, decode)

        async def pulling(
            request: prefill_pb2.PrefillRequest,
        ) -> AsyncIterator[prefill_pb2.PrefillResponse]:
            pulled = prefill_pb2.PrefixPulled(
                tokens=144, bytes=9, transport="shm", milliseconds=1.23456
            )
            yield prefill_pb2.PrefillResponse(prefix_pulled=pulled)
            async for response in prefilling([5])(request):
                yield response

        prefill.prefill_script = pulling
        told = await asked(gateway, NEXT)
        assert [told[key] for key in KEYS] == ["d0", 144, 1.235]
        source, own = await named(prefill, 1), (await prefill.calls.number(1)).request
        assert source is not None
        assert (source.address, source.instance_id) == (decode.address, "instance-of-d0")
        assert source.num_tokens == 144  # of 151 that may be cached, in whole blocks
        assert len(source.ticket) == 16
        assert {source.ticket, source.transfer_id}.isdisjoint({own.ticket, own.transfer_id})
        [link] = (await gateway.client.get("/status")).json()["links"]
        assert [link[key] for key in ("from", "to", "transport")] == ["d0", "p0", "shm"]
        assert (link["bytes"], link["transfers"], link["exposed_ms"]) == (9, 1, None)


async def test_whoever_did_not_need_it_tells_of_nothing(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        holds(gateway, decode)
        told = await asked(gateway, NEXT)
        assert [told[key] for key in KEYS] == [None] * 3
        assert await named(prefill, 0) is not None


async def test_another_salt_finds_nobody_and_who_is_avoided_is_not_named(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        holds(gateway, decode)
        await gateway.join("d1", Role.DECODE)
        await asked(gateway, NEXT, cache_salt="another")
        await asked(gateway, NEXT, kv_transfer_params={"avoid": ["d0"]})
        assert [await named(prefill, number) for number in range(2)] == [None] * 2


async def test_a_worker_that_is_gone_is_not_named(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        holds(gateway, decode)
        await decode.stop()
        await gateway.until_gone("d0")
        await gateway.join("d1", Role.DECODE)
        await asked(gateway, NEXT)
        assert await named(prefill, 0) is None
