"""A gateway, its registry and its workers that talk mutual TLS."""

import asyncio
from pathlib import Path

import pytest

from baton.core.worker_info import Role
from baton.registry import membership
from baton.registry.membership import Membership
from tests.support.certificates import Authority, make_authority
from tests.support.gateway_cluster import SECRET, running_gateway
from tests.support.gateway_fake_workers import FakeWorker
from tests.support.gateway_members import make_fingerprint, make_info
from tests.support.gateway_reading import CHAT, HI


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ours"))


async def test_an_answer_comes_over_mutual_tls(model_folder: Path, ours: Authority) -> None:
    settings = ours.settings(ours.issue("gateway"))
    async with running_gateway(model_folder, cluster_tls=settings) as gateway:
        prefill, decode = await gateway.pair()
        answer = await gateway.client.post(CHAT, json={"messages": HI})
        assert answer.status_code == 200
        assert answer.json()["usage"]["completion_tokens"] == 3
        assert len(prefill.calls.all) == len(decode.calls.all) == 1


async def test_a_worker_without_a_certificate_does_not_join(
    model_folder: Path,
    ours: Authority,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(membership, "JOIN_TIMEOUT", 0.5)  # seconds
    settings = ours.settings(ours.issue("lonely"))
    async with running_gateway(model_folder, cluster_tls=settings) as gateway:
        bare = Membership(make_info("bare", Role.DECODE), gateway.registry, SECRET)
        trying = asyncio.create_task(bare.run())
        await gateway.until(lambda: "not in the registry at" in caplog.text)
        assert not bare.joined.is_set()
        assert "no answer within 0.5 s: failed to connect" in caplog.text
        assert gateway.gateway.models.first.workers.all() == []
        trying.cancel()
        await asyncio.gather(trying, return_exceptions=True)


async def test_a_worker_that_does_not_speak_it_is_not_used(
    model_folder: Path, ours: Authority
) -> None:
    """It has joined as a member in another way, such as through Redis."""
    settings = ours.settings(ours.issue("careful"))
    async with running_gateway(
        model_folder, cluster_tls=settings, max_queue_seconds=0.5
    ) as gateway:
        fingerprint = make_fingerprint("m", gateway.tokenizer_digest)
        plain = FakeWorker("plain", Role.DECODE, fingerprint)
        gateway.workers.append(plain)
        async with running_gateway(model_folder) as other:
            await plain.start(other.registry, SECRET)
        info = make_info("plain", Role.DECODE, fingerprint, plain.address)
        joined = Membership(info, gateway.registry, SECRET, gateway.tls)
        joining = asyncio.create_task(joined.run())
        await asyncio.wait_for(joined.joined.wait(), 30)
        answer = await gateway.client.post(CHAT, json={"messages": HI}, timeout=30)
        assert answer.status_code == 503
        assert plain.calls.all == []
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
