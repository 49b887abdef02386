"""Workers in Ray: a Ray of its own, and one of two machines that is joined."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.baton_command import baton_process
from tests.support.clients import Client, Completion
from tests.support.cluster import RunningCluster, baton_up
from tests.support.fake_processes import is_gone
from tests.support.namespaces import Namespace, namespace
from tests.support.ray_nodes import ADDRESS, ENVIRONMENT, HEAD, OTHER, RayNodes, ray_nodes

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]
IN_RAY = ("--orchestrator=ray", "--kv-cache-memory-bytes=8MiB")
JOINING = (*IN_RAY, f"--ray-address={ADDRESS}")
SECRET = {"BATON_CLUSTER_SECRET": "5ec2e7"}
PREFILL = '--ray-prefill-resources={"CPU": 1, "slot": 1, "head": 1}'
DECODE = '--ray-decode-resources={"CPU": 1, "slot": 1}'


@pytest.fixture
def machine() -> Iterator[Namespace]:
    with namespace() as machine:
        yield machine


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """The head has room for a pair of workers, the other node for one."""
    with ray_nodes() as nodes:
        nodes.start_head({"slot": 2, "head": 1})
        nodes.start_other({"slot": 1})
        yield nodes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(
    nodes: RayNodes, slow_hash_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningCluster]:
    """A prefill and two decode workers, which take all the room that there is. Its end leaves the
    Ray cluster as it was.
    """
    words = (f"--model={slow_hash_model}", "--decode-workers=2", PREFILL, DECODE)
    socket = tmp_path_factory.mktemp("gateway") / "socket"
    env = ENVIRONMENT | SECRET
    async with baton_up(
        *(*JOINING, *words, f"--uds={socket}"), prefix=nodes.head.prefix, env=env
    ) as cluster:
        await cluster.until_said("endpoint: ", 60)
        cluster.url = str(socket)
        yield cluster
        cluster.process.send_signal(signal.SIGTERM)
        assert await cluster.exit_code() == 0
        assert cluster.output[-1] == "stopped"
    assert await nodes.left_in("baton") == ([], [])


@pytest_asyncio.fixture(loop_scope="module")
async def client(cluster: RunningCluster) -> AsyncIterator[Client]:
    async with Client("http://gateway", uds=cluster.url) as client:
        yield client


def told(cluster: RunningCluster, worker: str) -> tuple[int, str]:
    """Pid and host of a worker that became ready, the latest time."""
    line = [line for line in cluster.output if line.startswith(f"{worker} ready: pid ")][-1]
    pid, address = line.removeprefix(f"{worker} ready: pid ").split(", ")[:2]
    return int(pid), address.rpartition(":")[0]


async def answers(client: Client, count: int) -> list[list[int]]:
    async def answer(number: int) -> Completion:
        prompt = [number, *range(1, 40)]
        (one,) = await client.complete(prompt, max_tokens=60, ignore_eos=True, temperature=0)
        return one

    return [one.token_ids for one in await asyncio.gather(*map(answer, range(1, count + 1)))]


async def test_a_ray_of_its_own_serves_and_ends_with_it(
    machine: Namespace, hash_model: Path, tmp_path: Path
) -> None:
    socket = tmp_path / "socket"
    words = (*IN_RAY, f"--model={hash_model}", f"--uds={socket}")
    async with baton_up(*words, prefix=machine.prefix) as cluster:
        await cluster.until_said("endpoint: ", 60)
        assert any(line.startswith("started a Ray of its own: ") for line in cluster.output)
        async with Client("http://gateway", uds=str(socket)) as client:
            (answer,) = await client.complete([1, 2, 3], max_tokens=5, ignore_eos=True)
            assert len(answer.token_ids) == 5
        cluster.process.send_signal(signal.SIGINT)
        assert await cluster.exit_code() == 0
        assert cluster.processes() == []
    assert machine.processes() == []
    assert not any("Traceback" in line for line in cluster.output)


async def test_a_ray_of_its_own_dies_with_a_killed_baton_up(
    machine: Namespace, hash_model: Path, tmp_path: Path
) -> None:
    words = (*IN_RAY, f"--model={hash_model}", f"--uds={tmp_path / 'socket'}")
    async with baton_up(*words, prefix=machine.prefix) as cluster:
        await cluster.until_said("started a Ray of its own: ", 60)
        family = machine.processes()
        cluster.process.kill()
        assert all([await asyncio.to_thread(is_gone, pid, 30) for pid in family])


async def test_a_ray_cluster_that_does_not_answer_is_one_sentence(
    machine: Namespace, hash_model: Path, tmp_path: Path
) -> None:
    words = (*IN_RAY, f"--model={hash_model}", f"--uds={tmp_path / 'socket'}")
    nobody = "--ray-address=127.0.0.1:9"
    async with baton_up(*words, nobody, prefix=machine.prefix) as cluster:
        assert await cluster.exit_code() == 78
    (line,) = [line for line in cluster.output if line.startswith("Error: ")]
    assert "--ray-address 127.0.0.1:9: this machine must be a node of a Ray cluster" in line
    assert "Connection refused" in line


async def test_pairs_are_placed_on_one_node_and_the_rest_where_there_is_room(
    cluster: RunningCluster, client: Client
) -> None:
    hosts = {name: told(cluster, name)[1] for name in ("prefill-0", "decode-0", "decode-1")}
    assert hosts == {"prefill-0": HEAD, "decode-0": HEAD, "decode-1": OTHER}
    assert {worker["id"] for worker in await client.workers()} == set(hosts)


async def test_a_second_cluster_needs_a_namespace_of_its_own(
    cluster: RunningCluster, nodes: RayNodes, hash_model: Path, tmp_path: Path
) -> None:
    words = (*JOINING, f"--model={hash_model}", f"--uds={tmp_path / 'socket'}")
    async with baton_up(*words, prefix=nodes.head.prefix, env=ENVIRONMENT) as second:
        assert await second.exit_code() == 78
    assert any("take another one with --ray-namespace" in line for line in second.output)


async def test_a_killed_actor_serves_again_at_a_new_address(
    cluster: RunningCluster, client: Client
) -> None:
    before = {worker["id"]: worker["address"] for worker in await client.workers()}
    undisturbed = await answers(client, 8)
    running = asyncio.create_task(answers(client, 8))
    await until_running(client, "decode-0")
    os.kill(told(cluster, "decode-0")[0], signal.SIGKILL)
    assert await running == undisturbed
    await cluster.until_said("decode-0 died (its process is gone), starting it again", 30)
    await cluster.until_restarted("decode-0")
    after = await until_members(client, set(before))
    assert after["decode-0"] != before["decode-0"]
    assert {**after, "decode-0": ""} == {**before, "decode-0": ""}


async def test_a_node_that_dies_under_requests_ends_no_answer_and_is_replaced(
    cluster: RunningCluster, client: Client, nodes: RayNodes
) -> None:
    undisturbed = await answers(client, 50)
    running = asyncio.create_task(answers(client, 50))
    await until_running(client, "decode-1")
    nodes.other.kill_all()
    await cluster.until_said(f"node {OTHER} is gone from the Ray cluster", 30)
    await cluster.until_said(
        "decode-1 waits for a place: it needs 1 slot, and 0 of 2 slot are free", 30
    )
    assert await running == undisturbed
    await asyncio.to_thread(nodes.start_other, {"slot": 1})
    await cluster.until_restarted("decode-1")
    await until_members(client, {"prefill-0", "decode-0", "decode-1"})
    assert await answers(client, 8) == undisturbed[:8]


async def test_a_drained_worker_gives_its_place_back(
    cluster: RunningCluster, client: Client, nodes: RayNodes
) -> None:
    words = ("drain", "decode-0", "--wait", "--url", f"unix:{cluster.url}")
    running = asyncio.create_task(answers(client, 8))
    await until_running(client, "decode-0")
    drained = await baton_process(*words, env=SECRET, prefix=nodes.head.prefix)
    assert drained.exit_code == 0, drained.stderr
    assert all(len(tokens) == 60 for tokens in await running)
    await cluster.until_said("decode-0 has left; it is not started again", 30)
    await until_members(client, {"prefill-0", "decode-1"})
    actors, groups = await nodes.left_in("baton")
    assert {"prefill-0", "decode-1", "baton-up"} == set(actors)
    assert {name.split("/")[1] for name in groups} == {"prefill-0", "decode-1"}


async def until_running(client: Client, worker_id: str) -> None:
    """Until it has a request in its batch."""
    async with asyncio.timeout(20):
        while True:
            if any(w["id"] == worker_id and w["running"] for w in await client.workers()):
                return
            await asyncio.sleep(0.02)  # it tells nobody by itself


async def until_members(client: Client, names: set[str]) -> dict[str, str]:
    """Their addresses, once exactly these are members."""
    async with asyncio.timeout(30):
        while True:
            addresses = {worker["id"]: worker["address"] for worker in await client.workers()}
            if set(addresses) == names:
                return addresses
            await asyncio.sleep(0.05)
