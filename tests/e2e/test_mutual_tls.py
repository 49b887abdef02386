"""`baton up` whose processes show each other certificates."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from baton.rpc.channel import open_channel
from tests.support.certificates import make_authority
from tests.support.clients import Client
from tests.support.cluster import baton_up, running_cluster

PROMPT = list(range(100, 400))


@pytest.mark.timeout(240)
async def test_a_cluster_on_mutual_tls_answers_and_heals_and_lets_nobody_else_in(
    hash_model: Path, tmp_path: Path
) -> None:
    authority = make_authority(tmp_path)
    shown = authority.issue("cluster")
    files: dict[str, Any] = {"tls_cert": shown.cert, "tls_key": shown.key, "tls_ca": authority.cert}
    async with running_cluster(hash_model, **files) as cluster, Client(cluster.url) as client:
        before = await client.complete(PROMPT, max_tokens=8, temperature=0)
        for worker in (await cluster.status())["workers"]:
            async with open_channel(worker["address"]) as stranger:
                call: Any = stranger.unary_unary("/grpc.health.v1.Health/Check")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(b"", timeout=20)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            await cluster.kill(worker["id"])
            await cluster.until_restarted(worker["id"])
            assert await client.complete(PROMPT, max_tokens=8, temperature=0) == before
    async with baton_up(f"--model={hash_model}", "--port=0", f"--tls-cert={shown.cert}") as refused:
        assert await refused.exit_code() == 78
    assert refused.output == [
        "Error: --tls-cert without --tls-key and --tls-ca: mutual TLS needs all three"
    ]
