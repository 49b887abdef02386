"""A router of vLLM's kind chooses the workers and carries the KV's whereabouts between two gateways."""

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kv_transfer.sender_events import SenderLimits
from tests.support.bound_gateways import BoundGateways, bound_gateways
from tests.support.gateway_cluster import running_gateway
from tests.support.gateway_reading import CHAT, HI, read_chat
from tests.support.gateway_reading import events as events_of

LONG = [{"role": "user", "content": "tell me a long story of a hand-off that went well " * 3}]
BODY: dict[str, Any] = {
    "messages": LONG,
    "seed": 5,
    "temperature": 0.8,
    "ignore_eos": True,
    "max_tokens": 20,
}
VLLM = {
    *("do_remote_prefill", "do_remote_decode", "remote_engine_id", "remote_request_id"),
    *("remote_block_ids", "remote_num_tokens", "remote_host", "remote_port", "tp_size"),
}


@pytest.fixture
async def bound(model_folder: Path) -> AsyncIterator[BoundGateways]:
    async with bound_gateways(model_folder) as gateways:
        yield gateways


def text_of(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        return [read.content for _, read in sorted(read_chat(events_of(answer.text)).items())]
    return [choice["message"]["content"] for choice in answer.json()["choices"]]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream": True},
        {"n": 3},
        {"logprobs": True, "frequency_penalty": 0.4},
        {"messages": HI},
        {"use_beam_search": True, "n": 2, "seed": None},
    ],
    ids=lambda fields: ",".join(fields) or "plain",
)
async def test_the_answer_is_that_of_a_worker_that_reads_the_prompt_itself(
    bound: BoundGateways, fields: dict[str, Any]
) -> None:
    body = {**BODY, **fields}
    alone = text_of(await bound.decode.client.post(CHAT, json={**body, "cache_salt": "alone"}))
    first = await bound.read(body)
    told = first.json()["kv_transfer_params"]
    assert {*told} == {*VLLM, "remote_ticket"}
    assert (told["do_remote_prefill"], told["do_remote_decode"]) == (True, False)
    assert first.json()["usage"]["completion_tokens"] == 1
    assert bound.reader.worker.sender.counts().open_leases == 1
    answer = await bound.write(body, told)
    assert text_of(answer) == alone
    if not fields:
        way = answer.json()["kv_transfer_params"]
        assert way["transferred_tokens"] == told["remote_num_tokens"]
        assert way["cached_tokens"] == told["remote_num_tokens"] // 16 * 16
        assert (way["failovers"], way["decode_worker"]) == (0, "decode")
    await bound.until_free()


async def test_blocks_that_nobody_comes_for_go_back_and_the_answer_comes_all_the_same(
    model_folder: Path,
) -> None:
    short = SenderLimits(longest_hold_s=0.05, held_blocks=100)
    async with bound_gateways(model_folder, short) as bound:
        alone = text_of(await bound.decode.client.post(CHAT, json={**BODY, "cache_salt": "x"}))
        told = (await bound.read(BODY)).json()["kv_transfer_params"]
        await bound.until_free()
        assert bound.reader.worker.sender.counts().expired == 1
        late = await bound.write(BODY, told)
        assert text_of(late) == alone
        assert late.json()["kv_transfer_params"]["failovers"] == 1
        again = await bound.write(BODY, told)  # as often as it is shown
        assert text_of(again) == alone
        await bound.until_free()


async def test_only_so_many_blocks_wait(model_folder: Path) -> None:
    few = SenderLimits(held_blocks=12)
    async with bound_gateways(model_folder, few) as bound:
        told = (await bound.read(BODY)).json()["kv_transfer_params"]
        assert len(told["remote_block_ids"]) <= 12 < 2 * len(told["remote_block_ids"])
        refused = await bound.read({**BODY, "cache_salt": "another"})
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        text_of(await bound.write(BODY, told))
        assert (await bound.read(BODY)).status_code == 200


async def test_nothing_that_a_client_made_up_is_believed_or_dialled(bound: BoundGateways) -> None:
    told = (await bound.read(BODY)).json()["kv_transfer_params"]
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        host, port = trap.getsockname()
        unsigned = {key: told[key] for key in VLLM}
        cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
            ({**told, "remote_port": port}, {}, "remote_port"),
            ({**told, "remote_host": "localhost"}, {}, "remote_host"),
            ({**told, "remote_engine_id": "e"}, {}, "remote_engine_id"),
            ({**told, "remote_block_ids": [0]}, {}, "remote_block_ids"),
            ({**unsigned, "remote_host": host, "remote_port": port}, {}, "remote_ticket"),
            ({**told, "remote_ticket": told["remote_ticket"][:-4] + "AAAA"}, {}, "remote_ticket"),
            (told, {"messages": HI}, "remote_ticket"),
            (told, {"cache_salt": "other"}, "remote_ticket"),
            ({**told, "do_remote_prefill": False}, {}, "remote_block_ids"),
            ({**told, "do_remote_decode": True}, {}, "do_remote_decode"),
            ({**told, "mode": "disaggregated"}, {}, "do_remote_prefill"),
        ]
        for params, fields, key in cases:
            answer = await bound.write({**BODY, **fields}, params)
            assert answer.status_code == 400, key
            assert answer.json()["error"]["param"] == f"kv_transfer_params.{key}"
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert text_of(await bound.write(BODY, told))  # it was good all the time
    await bound.until_free()


async def test_a_gateway_takes_what_its_worker_can_do(
    bound: BoundGateways, model_folder: Path
) -> None:
    for gateway in (bound.prefill, bound.decode):
        assert (await gateway.client.get("/health")).status_code == 200
    plain = await bound.prefill.client.post(CHAT, json=BODY)
    reads = await bound.decode.client.post(
        CHAT, json={**BODY, "kv_transfer_params": {"do_remote_decode": True}}
    )
    async with running_gateway(model_folder) as cluster:
        await cluster.pair()
        elsewhere = await cluster.client.post(
            CHAT, json={**BODY, "kv_transfer_params": {"do_remote_decode": True}}
        )
    for answer in (plain, reads, elsewhere):
        assert answer.status_code == 400, json.dumps(answer.json())
        assert answer.json()["error"]["param"] == "kv_transfer_params.do_remote_decode"
