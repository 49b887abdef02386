"""`baton drain` against real workers; what the gateway knows of them comes from a stand-in."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from baton.core.worker_info import Role, WorkerState
from baton.rpc.tls_settings import ClusterTls
from baton.worker.settings import WorkerSettings
from tests.support.baton_command import Ran, baton, baton_process
from tests.support.certificates import make_authority
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, prompt_of
from tests.support.fake_status import fake_status
from tests.support.moving import begun
from tests.support.worker_pair import Served, serving

SECRET = "of the cluster"
SLOW = replace(HASH_MODEL, step_seconds=0.005)
ENDLESS = replace(GREEDY, max_tokens=4000, ignore_eos=True)  # no test waits for its end


def settings(tls: ClusterTls | None = None) -> WorkerSettings:
    return WorkerSettings(
        model="test",
        worker_id="decode-1",
        kv_cache_memory_bytes=16 << 20,
        cluster_secret=SECRET,
        cluster_tls=tls or ClusterTls(),
    )


async def drain(served: Served, *words: str, secret: str = SECRET) -> Ran:
    info = served.worker.info
    worker = {"id": info.worker_id, "address": info.address, "pid": info.pid}
    with fake_status([worker]) as url:
        env = {"BATON_CLUSTER_SECRET": secret, "BATON_URL": url}
        return await baton_process("drain", "decode-1", *words, env=env)


def draining(served: Served) -> bool:
    return served.worker.desk.state is WorkerState.DRAINING


@pytest.mark.parametrize("early", [True, False])
async def test_it_tells_the_worker_what_is_left_and_waits_until_it_has_gone(early: bool) -> None:
    async with serving(Role.DECODE, SLOW, settings=settings()) as served:
        stream = await begun(served, prompt_of(9), ENDLESS, 1)
        waiting = asyncio.create_task(drain(served, "--wait"))
        await served.until(lambda load: load.state is WorkerState.DRAINING, 30)
        assert (await drain(served)).stdout == "decode-1 takes nothing new; 1 request is left\n"
        if not early:
            stream.call.cancel()
            await asyncio.wait_for(served.worker.until_drained(), 20)
        assert not waiting.done()
        served.worker.board.close()  # as it does when it leaves
        told = await waiting
        assert told.exit_code == early
        if early:
            assert told.stderr == "Error: decode-1 went before it was empty\n"
        else:
            assert told.stdout.endswith("\ndecode-1 is empty and has left\n")


async def test_without_the_clusters_secret_it_says_what_to_do() -> None:
    async with serving(Role.DECODE, settings=settings()) as served:
        told = await drain(served, secret="another")
        assert told.exit_code == 1
        assert "--cluster-secret" in told.stderr
        assert f"`kill -TERM {served.worker.info.pid}`" in told.stderr
        assert not draining(served)


async def test_a_cluster_of_mutual_tls_wants_a_certificate(tmp_path: Path) -> None:
    ours = make_authority(tmp_path)
    tls = ours.settings(ours.issue("worker"))
    async with serving(Role.DECODE, settings=settings(tls)) as served:
        assert (await drain(served)).exit_code == 1
        assert not draining(served)
        flags = (f"--tls-cert={tls.tls_cert}", f"--tls-key={tls.tls_key}", f"--tls-ca={tls.tls_ca}")
        told = await drain(served, *flags)
        assert (told.stdout, told.stderr) == (
            "decode-1 takes nothing new; it has nothing left to do\n",
            "",
        )
        assert draining(served)


def test_what_cannot_be_drained_is_one_sentence() -> None:
    gone = {"id": "decode-1", "address": "127.0.0.1:1", "pid": 1}
    with fake_status([gone, {"id": "prefill-0"}]) as url:
        unknown = baton("drain", "decode-7", "--url", url)
        unreachable = baton("drain", "decode-1", "--url", url)
        half = baton("drain", "decode-1", "--url", url, "--tls-cert=c.pem")
    assert (unknown.exit_code, unreachable.exit_code, half.exit_code) == (1, 1, 78)
    assert unknown.stderr == (
        "Error: there is no worker decode-7; the gateway knows decode-1, prefill-0\n"
    )
    assert unreachable.stderr.startswith("Error: decode-1 at 127.0.0.1:1: ")
    assert "without --tls-key and --tls-ca" in half.stderr
