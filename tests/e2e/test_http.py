"""The HTTP API of a running cluster, as hostile and as careless clients use it."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.clients import Client
from tests.support.cluster import RunningCluster
from tests.support.cluster_state import nothing_is_held

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HI = [{"role": "user", "content": "hi"}]
LONG = {"messages": [{"role": "user", "content": "word " * 200}], "max_tokens": 5000}
JSON = {"content-type": "application/json"}

WRONG: dict[str, list[str]] = {
    "model": ["5", "[]", '"other"'],
    "max_tokens": ["0", "-1", "1.5", "1e999", "NaN", '"x"', "[]", "false"],
    "max_completion_tokens": ["0", "Infinity", "{}"],
    "temperature": ["-0.1", "2.1", "NaN", "1e999", '"inf"', "[1]"],
    "top_p": ["0", "1.1", "-Infinity", '"NaN"'],
    "top_k": ["-2", "0.5", "1e999"],
    "seed": ["9223372036854775808", "-9223372036854775809", "1.5"],
    "n": ["0", "129", "-1", "1e999", "1" + "0" * 300],
    "ignore_eos": ["2", '"maybe"', "[]"],
    "stream": ["3", "{}"],
    "stream_options": ["1", "[]", '{"include_usage": true}'],
    "return_token_ids": ['"x"'],
    "tools": ['"x"', "[{}]", "5"],
    "logit_bias": ['"x"', '{"x": 1}', '{"99999999": 1}', '{"1": 1e999}'],
    "min_p": ["-0.1", "1.1"],
    "frequency_penalty": ["2.1", "NaN"],
    "repetition_penalty": ["0", "-1"],
    "min_tokens": ["-1", "1.5"],
    "stop": ['""', '[""]', "5"],
    "stop_token_ids": ["[-1]", "[99999999]", '"x"'],
    "allowed_token_ids": ["[]", "[99999999]"],
    "bad_words": ["null", '[""]'],
    "prompt_logprobs": ["21", "-2"],
    "truncate_prompt_tokens": ["0", "-2"],
    "priority": ["1"],
    "cache_salt": ['""', '"a/b"'],
    "structured_outputs": ["{}", '{"regex": "("}', '{"choice": []}'],
    "response_format": ['{"type": "x"}', '{"type": "json_schema"}'],
    "kv_transfer_params": ['"x"', '{"do_remote_decode": true, "do_remote_prefill": true}'],
}


def refused(answer: httpx.Response) -> str | None:
    """The field that it names; checks that it is an OpenAI error."""
    assert answer.status_code in (400, 404), answer.text
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], bool(error["message"])) == (answer.status_code, True)
    param = error["param"]
    assert param is None or isinstance(param, str)
    return param


@pytest.mark.parametrize("path", [CHAT, TEXT])
async def test_every_wrong_value_is_refused_with_its_field(client: Client, path: str) -> None:
    own = '"messages": [{"role": "user", "content": "hi"}]' if path == CHAT else '"prompt": "hi"'
    for field, values in WRONG.items():
        for value in values:
            body = f'{{{own}, "{field}": {value}}}'.encode()
            answer = await client.http.post(path, content=body, headers=JSON)
            assert (refused(answer) or "").split(".")[0] == field, (field, value)


async def test_lax_values_and_null_act(client: Client) -> None:
    body = {"messages": HI, "seed": "7", "temperature": "0.5", "n": 2.0, "return_token_ids": "yes"}
    extra = {"max_tokens": True, "top_p": None, "stream": None, "stop": None, "foo": 1}
    answer = await client.post(CHAT, {**body, **extra})
    assert answer.headers["x-baton-ignored"] == "foo"
    plain = {"messages": HI, "seed": 7, "temperature": 0.5, "n": 2, "max_tokens": 1}
    expected = (await client.post(CHAT, {**plain, "return_token_ids": True})).json()
    assert answer.json()["choices"] == expected["choices"]


async def test_no_body_breaks_it(client: Client) -> None:
    deep = b'{"messages": ' + b"[" * 100_000
    for body in (b"", b"{", b"[]", b"null", deep, b"\xff", b'{"prompt": "\\ud83d"}', b"{'a': 1}"):
        refused(await client.http.post(TEXT, content=body, headers=JSON))
    twice = b'{"prompt": "a\\u0000b", "max_tokens": 5, "max_tokens": 2, "ignore_eos": true}'
    answer = await client.http.post(TEXT, content=twice, headers=JSON)
    assert answer.json()["usage"]["completion_tokens"] == 2


async def told_of(body: bytes, sent: asyncio.Event) -> AsyncIterator[bytes]:
    yield body
    sent.set()


async def test_nobody_waits_for_another_ones_huge_prompt(client: Client) -> None:
    huge: list[dict[str, Any]] = [
        {"prompt": "a" * 15_000_000},
        {"prompt": [1] * 4_000_000},
        {"messages": [{"role": "user", "content": "x"}] * 100_000},
    ]
    for body in huge:
        path = CHAT if "messages" in body else TEXT
        sent = asyncio.Event()
        content = told_of(json.dumps(body).encode(), sent)
        posting = asyncio.create_task(client.http.post(path, content=content, headers=JSON))
        await sent.wait()
        meanwhile = 0
        while not posting.done():
            assert (await client.http.get("/health")).status_code == 200
            meanwhile += not posting.done()
        assert refused(await posting) in body
        assert meanwhile, path


async def test_prompt_and_answer_share_the_models_length(client: Client) -> None:
    (model,) = (await client.http.get("/v1/models")).json()["data"]
    length = model["max_model_len"]
    body = {"max_tokens": 10 * length, "ignore_eos": True}
    answer = (await client.post(TEXT, {**body, "prompt": [5] * (length - 2), "n": 2})).json()
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length"] * 2
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (length - 2, 4)
    for beyond in (0, 1, length):
        refusal = await client.post(TEXT, {**body, "prompt": [5] * (length + beyond)})
        assert refused(refusal) == "prompt"


async def test_a_stream_has_its_chunks_and_keys_in_order(client: Client) -> None:
    body = {"messages": HI, "max_tokens": 3, "n": 2, "ignore_eos": True, "return_token_ids": True}
    events = await client.stream(CHAT, {**body, "stream_options": {"include_usage": True}})
    *chunks, last = events
    common = {"id", "object", "created", "model", "choices"}
    assert set(last) == common | {"usage"}
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 6
    assert (
        len({json.dumps([event[key] for key in ("id", "created", "model")]) for event in events})
        == 1
    )
    for index in (0, 1):
        own = [chunk for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert [len(chunk["choices"]) for chunk in own] == [1] * len(own)
        first, *middle, end = own
        assert set(first) == common | {"prompt_token_ids"}
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        keys = {"index", "delta", "logprobs", "finish_reason"}
        assert set(first["choices"][0]) == keys
        for chunk in middle:
            assert set(chunk) == common
            assert set(chunk["choices"][0]) == keys | {"token_ids"}
        assert set(end) == common | {"system_fingerprint", "kv_transfer_params"}
        assert set(end["choices"][0]) == keys | {"token_ids", "stop_reason"}


async def test_stream_and_whole_are_one_answer_in_any_script(client: Client) -> None:
    rng = random.Random(5)
    for _ in range(8):
        text = "".join(rng.choice("aé中😀 ") for _ in range(20))
        body = {
            "messages": [{"role": "user", "content": text}],
            "max_tokens": rng.randint(1, 80),
            "n": 3,
            "seed": rng.randrange(2**60),
            "return_token_ids": True,
        }
        whole = (await client.post(CHAT, body)).json()
        events = await client.stream(CHAT, {**body, "stream_options": {"include_usage": True}})
        for choice in whole["choices"]:
            pieces = [c for e in events for c in e["choices"] if c["index"] == choice["index"]]
            read = "".join(piece["delta"]["content"] for piece in pieces)
            assert read == choice["message"]["content"]
            ids = [token for piece in pieces for token in piece.get("token_ids") or []]
            assert ids == choice["token_ids"]
        tokens = sum(len(choice["token_ids"]) for choice in whole["choices"])
        assert whole["usage"]["completion_tokens"] == tokens
        assert events[-1]["usage"]["completion_tokens"] == tokens
        assert whole["usage"]["prompt_tokens"] == len(whole["prompt_token_ids"])


Leaving = Callable[[asyncio.StreamReader], Coroutine[Any, Any, None]]


async def leave(url: httpx.URL, body: dict[str, Any], until: Leaving) -> None:
    """Asks, and resets the connection at the given moment."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    text = json.dumps({**LONG, "ignore_eos": True, **body})
    head = f"POST {CHAT} HTTP/1.1\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode())
    await writer.drain()
    await until(reader)
    writer.transport.abort()


async def has_waited(reader: asyncio.StreamReader, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await reader.read()


async def has_read(reader: asyncio.StreamReader, count: int) -> None:
    await reader.readexactly(count)


async def test_a_client_that_leaves_at_any_moment_leaves_nothing_behind(
    cluster: RunningCluster,
) -> None:
    url = httpx.URL(cluster.url)
    waits = [partial(has_waited, seconds=seconds) for seconds in (0.001, 0.01, 0.05, 0.2)]
    reads = [partial(has_read, count=count) for count in (1, 300, 3000)]
    await asyncio.gather(
        *(leave(url, {"stream": True, "n": n}, until) for until in waits + reads for n in (1, 3)),
        *(leave(url, {"stream": False, "n": n}, until) for until in waits for n in (1, 3)),
    )
    await nothing_is_held(cluster, seconds=1.5)


async def test_ids_come_back_and_may_be_used_by_many_at_once(client: Client) -> None:
    body = {"messages": HI, "max_tokens": 20, "seed": 3, "ignore_eos": True}
    strange = 'a"},{"b: %0d%0aEvil: 1 é'
    headers = {b"x-request-id": strange.encode("latin-1")}
    answers = await asyncio.gather(
        *(client.http.post(CHAT, json=body, headers=headers) for _ in range(6))
    )
    for answer in answers:
        assert answer.headers.get_list("x-request-id") == [strange]
        assert "evil" not in answer.headers
        assert answer.json()["id"] == f"chatcmpl-{strange}"
    assert len({answer.json()["choices"][0]["message"]["content"] for answer in answers}) == 1


async def test_the_metrics_add_up(client: Client) -> None:
    before = await _counts(client)
    body = {"prompt": [5] * 30, "max_tokens": 12, "ignore_eos": True, "n": 2}
    await asyncio.gather(*(client.post(TEXT, body) for _ in range(10)))
    after = await _counts(client)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["vllm:prompt_tokens_total"] == 300
    assert grown["vllm:generation_tokens_total"] == 240
    assert grown["vllm:request_success_total length"] == 20
    assert grown["vllm:time_to_first_token_seconds_count"] == 10
    assert grown["vllm:e2e_request_latency_seconds_count"] == 10
    assert grown["vllm:inter_token_latency_seconds_count"] == 240 - 20


async def _counts(client: Client) -> dict[str, float]:
    page = (await client.http.get("/metrics")).text
    return {
        " ".join([sample.name, *filter(None, [sample.labels.get("finished_reason")])]): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if "le" not in sample.labels
    }


async def test_unknown_places_and_methods_are_errors_of_the_api(client: Client) -> None:
    for method, path, status in (
        ("GET", CHAT, 405),
        ("OPTIONS", TEXT, 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/%ff", 404),
        ("GET", "/v1/models/other", 404),
    ):
        answer = await client.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, status)
    assert (await client.http.request("HEAD", CHAT)).content == b""
    assert (await client.http.get("/openapi.json")).json()["paths"][CHAT]["post"]["requestBody"]
