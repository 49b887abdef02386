"""A hand-off between workers whose control calls are mutual TLS."""

import asyncio
import logging
from pathlib import Path

import grpc
import pytest

from baton.core.errors import SettingsError, TransferError
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from baton.rpc.tls_settings import ClusterTls
from baton.worker.settings import WorkerSettings
from tests.support.certificates import Authority, make_authority
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, prompt_of
from tests.support.hash_answer import hash_answer
from tests.support.worker_pair import (
    Served,
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

PROMPT = prompt_of(100)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ours"))


def settings(role: Role, tls: ClusterTls, kv_transport: str = "auto") -> WorkerSettings:
    return WorkerSettings(
        model="test",
        worker_id=role.value,
        kv_cache_memory_bytes=16 << 20,
        cluster_secret="of the cluster",
        cluster_tls=tls,
        kv_transport=kv_transport,
    )


async def transport_of(prefill: Served, decode: Served) -> str:
    """Of a hand-off whose answer is right."""
    handoff = handoff_to(prefill)
    answer = aiter(decode.generate(generate_request(handoff, PROMPT, GREEDY)))
    assert (await anext(answer)).HasField("reserved")
    reading = prefill.prefill(prefill_request(handoff, PROMPT, GREEDY))
    transport: str = ""
    records: list[TokenRecord] = []
    async for response in answer:
        if response.HasField("transferred"):
            transport = response.transferred.transport
        records += wire.records_from_pb(response.tokens.records)
    async for _ in reading:
        pass
    assert by_choice(records, 1) == hash_answer(HASH_MODEL, PROMPT, GREEDY)
    return transport


@pytest.mark.parametrize(("choice", "transport"), [("auto", "shm"), ("tcp", "tcp")])
async def test_a_prompt_is_handed_over(
    ours: Authority, choice: str, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    tls = ours.settings(ours.issue(f"worker-{choice}"))
    with caplog.at_level(logging.WARNING):
        async with (
            serving(Role.PREFILL, settings=settings(Role.PREFILL, tls, choice)) as prefill,
            serving(Role.DECODE, settings=settings(Role.DECODE, tls, choice)) as decode,
        ):
            assert await transport_of(prefill, decode) == transport
    assert ("sends KV caches unencrypted" in caplog.text) is (choice == "tcp")


async def test_what_another_worker_offers_in_the_clear_is_not_taken(ours: Authority) -> None:
    tls = ours.settings(ours.issue("mixed"))
    async with (
        serving(Role.PREFILL, settings=settings(Role.PREFILL, tls, "tcp")) as prefill,
        serving(Role.DECODE, settings=settings(Role.DECODE, tls)) as decode,
    ):
        assert [e.transport for e in prefill.worker.sender.endpoints] == ["tcp"]
        with pytest.raises(grpc.aio.AioRpcError, match="no data plane reaches") as caught:
            await asyncio.wait_for(transport_of(prefill, decode), 30)
        assert isinstance(from_rpc_error(caught.value), TransferError)
        await decode.until_idle()


async def test_a_worker_pulls_from_none_of_another_authority(
    ours: Authority, tmp_path: Path
) -> None:
    theirs = make_authority(tmp_path / "theirs", "theirs")
    async with (
        serving(
            Role.PREFILL, settings=settings(Role.PREFILL, theirs.settings(theirs.issue("p")))
        ) as p,
        serving(Role.DECODE, settings=settings(Role.DECODE, ours.settings(ours.issue("d")))) as d,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
            await asyncio.wait_for(transport_of(p, d), 30)
        await d.until_idle()


def test_a_certificate_for_another_host_is_seen_before_anything_is_loaded(ours: Authority) -> None:
    tls = ours.settings(ours.issue("elsewhere", names="DNS:elsewhere.internal"))
    with pytest.raises(SettingsError, match=r"it is not for 127\.0\.0\.1"):
        settings(Role.DECODE, tls).check()
    WorkerSettings(model="m", cluster_tls=tls, advertise_host="elsewhere.internal").check()
