"""Answers that were cut off go on by their handles, on real workers, and nobody can tell."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateway_reading import CHAT, TEXT, events
from tests.support.served_cluster import ServedCluster, served_cluster

HI = [{"role": "user", "content": "tell me"}]
BODY: dict[str, Any] = {
    "messages": HI,
    "seed": 11,
    "temperature": 0.9,
    "ignore_eos": True,
    "max_tokens": 60,
    "frequency_penalty": 0.5,
    "stop": ["\x00\x00\x00"],
}


@pytest.fixture
async def cluster(model_folder: Path) -> AsyncIterator[ServedCluster]:
    async with served_cluster(model_folder, decode=2, prefill=1, stream_interval=7) as cluster:
        cluster.hurry()
        yield cluster


async def ask(cluster: ServedCluster, **fields: Any) -> httpx.Response:
    return await cluster.gateway.client.post(CHAT, json={**BODY, **fields})


async def whole(cluster: ServedCluster, resume: Any = None, **fields: Any) -> dict[str, Any]:
    answer = await ask(cluster, kv_transfer_params={"resume": resume}, **fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def text(body: dict[str, Any]) -> str:
    return str(body["choices"][0]["message"]["content"])


async def test_an_answer_that_max_tokens_cut_goes_on_as_if_it_had_not(
    cluster: ServedCluster,
) -> None:
    undisturbed = await whole(cluster)
    assert undisturbed["kv_transfer_params"]["resume"] is None
    for length in (1, 17, 59):
        first = await whole(cluster, True, max_tokens=length)
        handle = first["kv_transfer_params"]["resume"]
        fields = {"seed": None} if length == 17 else {}
        rest = await whole(cluster, handle, **fields)
        assert text(first) + text(rest) == text(undisturbed)
        assert rest["usage"]["completion_tokens"] == 60 - length
        assert rest["choices"][0]["finish_reason"] == "length"


async def test_a_stream_gives_handles_and_goes_on_behind_any_of_them(
    cluster: ServedCluster,
) -> None:
    undisturbed = text(await whole(cluster))
    fields = {"stream": True, "kv_transfer_params": {"resume": True}}
    chunks = events((await ask(cluster, **fields)).text)
    so_far, found = "", 0
    for chunk in chunks:
        so_far += chunk["choices"][0]["delta"].get("content", "")
        handle = (chunk.get("kv_transfer_params") or {}).get("resume")
        if handle is None or chunk["choices"][0]["finish_reason"]:
            continue
        found += 1
        streamed = await ask(cluster, stream=True, kv_transfer_params={"resume": handle})
        rest = [c["choices"][0]["delta"].get("content", "") for c in events(streamed.text)]
        assert so_far + "".join(rest) == undisturbed
    assert so_far == undisturbed
    assert found == 4  # behind 1, 17, 33 and 49 tokens


async def test_a_plain_prompt_goes_on_elsewhere_and_from_handle_to_handle(
    cluster: ServedCluster,
) -> None:
    body = {"prompt": [5, 6, 7], "seed": 3, "temperature": 0.7, "ignore_eos": True}

    async def complete(max_tokens: int, **wishes: Any) -> dict[str, Any]:
        answer = await cluster.gateway.client.post(
            TEXT, json={**body, "max_tokens": max_tokens, "kv_transfer_params": wishes}
        )
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    undisturbed = (await complete(40))["choices"][0]["text"]
    told, handle, turns = "", True, [("d0", 10), ("d1", 25), ("d0", 40)]
    for worker, length in turns:
        part = await complete(length, resume=handle, decode_worker=worker, mode="aggregated")
        told += part["choices"][0]["text"]
        assert part["kv_transfer_params"]["decode_worker"] == worker
        handle = part["kv_transfer_params"]["resume"]
    assert told == undisturbed


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"messages": [{"role": "user", "content": "tell him"}]}, "kv_transfer_params.resume"),
        ({"temperature": 0.8}, "kv_transfer_params.resume"),
        ({"stop": None}, "kv_transfer_params.resume"),
        ({"seed": 12}, "kv_transfer_params.resume"),
        ({"cache_salt": "x"}, "kv_transfer_params.resume"),
        ({"n": 2}, "kv_transfer_params.resume"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"kv_transfer_params": {"resume": "AAAA"}}, "kv_transfer_params.resume"),
        ({"kv_transfer_params": {"resume": 7}}, "kv_transfer_params.resume"),
    ],
)
async def test_a_handle_that_does_not_fit_the_request_is_refused(
    cluster: ServedCluster, changed: dict[str, Any], param: str
) -> None:
    first = await whole(cluster, True, max_tokens=5)
    handle = first["kv_transfer_params"]["resume"]
    answer = await ask(cluster, **{"kv_transfer_params": {"resume": handle}, **changed})
    assert answer.status_code == 400, json.dumps(answer.json())
    assert answer.json()["error"]["param"] == param
