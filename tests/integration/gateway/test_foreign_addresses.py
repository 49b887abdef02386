"""Clients may name hosts and ports, as other servers' hand-offs have them; nobody calls there."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway_cluster import running_gateway
from tests.support.gateway_reading import CHAT, HI

NAMED = ["remote_host", "remote_hosts", "remote_port", "remote_bootstrap_addr"]


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):  # nobody has connected
            listener.accept()


def vllm_params(trap: socket.socket) -> dict[str, Any]:
    """What vLLM's connectors would fetch a KV cache by, each of their forms of an address."""
    host, port = trap.getsockname()
    return {
        "do_remote_prefill": True,
        "remote_engine_id": "e",
        "remote_block_ids": [1],
        "remote_host": host,
        "remote_hosts": [host],
        "remote_port": port,
        "remote_bootstrap_addr": f"http://{host}:{port}",
    }


async def test_addresses_of_another_hand_off_are_refused_and_not_called(
    model_folder: Path, trap: socket.socket
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        params = vllm_params(trap)
        unheard_of = {"address": params["remote_bootstrap_addr"]}
        for asked in (params, unheard_of, *({name: params[name]} for name in NAMED)):
            answer = await gateway.client.post(
                CHAT, json={"messages": HI, "kv_transfer_params": asked}
            )
            assert answer.status_code == 400
            assert answer.json()["error"]["param"].startswith("kv_transfer_params.")
        assert prefill.calls.all == decode.calls.all == []


async def test_addresses_under_names_that_nobody_knows_reach_no_worker(
    model_folder: Path, trap: socket.socket
) -> None:
    host, port = trap.getsockname()
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        body = {
            "messages": HI,
            "bootstrap_host": host,
            "bootstrap_port": port,
            "disaggregated_params": {"opaque_state": f"tcp://{host}:{port}"},
        }
        shown = {"x-prefiller-host-port": f"{host}:{port}"}
        answer = await gateway.client.post(CHAT, json=body, headers=shown)
        assert answer.status_code == 200
        ignored = answer.headers["x-baton-ignored"]
        assert {"bootstrap_host", "bootstrap_port"} <= set(ignored.split(","))
        handoff = (await decode.calls.number(0)).request.handoff
        assert handoff.address == prefill.address
        for worker in (prefill, decode):
            assert f"{host}:{port}" not in str((await worker.calls.number(0)).request)
