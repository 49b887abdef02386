"""`baton up` as its user meets it: refusals, Ctrl-C at any time, nothing left behind."""

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from baton.cluster.model_presets import make_model
from tests.support.cluster import RunningCluster, baton_up, running_cluster
from tests.support.fake_processes import is_gone

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "hash"
    make_model("hash", folder, print)
    return folder


def small(model: Path) -> list[str]:
    return [f"--model={model}", "--port=0", "--kv-cache-memory-bytes=8388608"]


async def ended(cluster: RunningCluster, *signals: signal.Signals) -> int:
    for number in signals:
        cluster.process.send_signal(number)
    code = await cluster.exit_code()
    assert cluster.processes() == []
    assert not any("Traceback" in line for line in cluster.output)
    return code


async def test_an_occupied_port_is_one_sentence_before_anything_starts(model: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with baton_up(f"--model={model}", f"--port={port}") as cluster:
            assert await cluster.exit_code() == 78
    (line,) = cluster.output
    assert line.startswith(f"Error: cannot listen on 127.0.0.1:{port}")


async def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    async with baton_up(f"--model={tmp_path / 'none'}") as cluster:
        assert await cluster.exit_code() == 78
    assert cluster.output == [f"Error: --model {tmp_path / 'none'}: there is no such folder"]


async def test_encode_workers_of_a_model_that_reads_text_are_refused(model: Path) -> None:
    async with baton_up(f"--model={model}", "--port=0", "--encode-workers=1") as cluster:
        assert await cluster.exit_code() == 78
    (line,) = cluster.output
    assert line.startswith("Error: --encode-workers 1: ")
    assert line.endswith("reads no images, so there is nothing to encode")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupting_the_start_of_the_workers_ends_it_cleanly(
    model: Path, number: signal.Signals
) -> None:
    async with baton_up(*small(model)) as cluster:
        await cluster.until_said("gateway ready", 60)
        assert await ended(cluster, number) == 0
    assert cluster.output[-1] == "stopped"


async def test_interrupting_twice_ends_it_too(model: Path) -> None:
    async with baton_up(*small(model)) as cluster:
        await cluster.until_said("gateway ready", 60)
        cluster.process.send_signal(signal.SIGINT)
        await cluster.until_said("stopping", 10)
        assert await ended(cluster, signal.SIGINT) == 0


async def test_a_killed_baton_up_leaves_no_process(model: Path) -> None:
    async with baton_up(*small(model)) as cluster:
        await cluster.until_said("endpoint: ", 120)
        family = cluster.processes()
        assert len(family) == 4  # itself, the gateway, two workers
        cluster.process.kill()
        assert all([await asyncio.to_thread(is_gone, pid) for pid in family])


async def test_a_ready_cluster_names_its_workers_and_stops_on_ctrl_c(model: Path) -> None:
    async with running_cluster(model, kv_cache_memory_bytes=8 << 20) as cluster:
        assert set(await cluster.pids()) == {"prefill-0", "decode-0"}


async def test_a_killed_worker_comes_back_under_its_name(model: Path) -> None:
    async with running_cluster(model, kv_cache_memory_bytes=8 << 20) as cluster:
        first = await cluster.kill("prefill-0")
        await cluster.until_said("prefill-0 died (killed by SIGKILL)", 20)
        await cluster.until_restarted("prefill-0")
        pids = await cluster.until_members("prefill-0", "decode-0")
        assert pids["prefill-0"] != first


async def test_a_killed_gateway_comes_back_at_its_address_with_its_workers(model: Path) -> None:
    async with running_cluster(model, kv_cache_memory_bytes=8 << 20) as cluster:
        workers = await cluster.pids()
        await cluster.kill_gateway()
        await cluster.until_said(f"gateway ready at {cluster.url}", 60, times=2)
        assert await cluster.until_members(*workers) == workers
