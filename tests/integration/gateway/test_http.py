"""HTTP itself: what is refused before an endpoint sees it, and how the API describes itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from baton.v1 import decode_pb2
from gateway.http import http_protocol
from gateway.http.head_limits import HeadLimits
from gateway.schema.routing_fields import LONGEST_ID
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import RESERVED, decoded, prefilling, records
from tests.support.gateway_reading import CHAT, HI, TEXT

MAX_HEAD = HeadLimits().size
JSON = "Content-Type: application/json\r\n"


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(
        model_folder, max_body_bytes=100_000, client_stall_seconds=0.2
    ) as gateway:
        yield gateway


async def raw(gateway: GatewayUnderTest, *parts: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and parsed body of the first answer to these bytes."""
    url = gateway.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        async with asyncio.timeout(30):
            for part in parts:
                writer.write(part)
                await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:-2])
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
    finally:
        writer.close()
        await writer.wait_closed()
    return int(head[0].split()[1]), headers, json.loads(body)


def check(answer: tuple[int, dict[str, str], Any], status: int) -> None:
    seen, headers, body = answer
    assert seen == status
    assert headers["x-request-id"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["code"] == status


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00",
        b"hello\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX-Request-Id: a\x00b\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX-Request-Id: a\r\n Evil: 1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_not_http_gets_an_error_object(served: GatewayUnderTest, sent: bytes) -> None:
    check(await raw(served, sent), 400)


async def test_headers_without_an_end_are_refused(served: GatewayUnderTest) -> None:
    line = b"X-A: " + b"a" * 1000 + b"\r\n"
    check(await raw(served, b"GET /health HTTP/1.1\r\n", line * (MAX_HEAD // len(line) + 1)), 431)
    name = b"GET /health HTTP/1.1\r\n" + b"a" * (MAX_HEAD + 1)
    check(await raw(served, name), 431)


async def test_headers_may_be_bounded_by_flags(model_folder: Path) -> None:
    bounds: dict[str, Any] = {"h11_max_incomplete_event_size": 300, "h11_max_header_count": 3}
    async with running_gateway(model_folder, **bounds) as gateway:
        few = b"GET /ping HTTP/1.1\r\n" + b"A: b\r\n" * 3 + b"\r\n"
        check(await raw(gateway, few), 503)
        many = b"POST /ping HTTP/1.1\r\n" + b"A: b\r\n" * 3 + b"Content-Length: 2\r\n\r\n{}"
        check(await raw(gateway, many), 431)
        check(await raw(gateway, b"GET /ping HTTP/1.1\r\nA: " + b"b" * 300), 431)


async def test_a_connection_on_which_no_request_comes_is_closed(
    served: GatewayUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.05)
    url = served.client.base_url
    for begun in (b"", b"GET /health HTTP/1.1\r\nX-A: b"):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(begun)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_noise_behind_a_request_cuts_its_stream_off_and_never_gets_into_it(
    served: GatewayUnderTest,
) -> None:
    prefill, decode = await served.pair()
    prefill.prefill_script = prefilling([5])
    decode.decode_script = one_token_and_silence
    body = json.dumps({"prompt": [5], "max_tokens": 9, "stream": True}).encode()
    head = f"POST {TEXT} HTTP/1.1\r\n{JSON}Content-Length: {len(body)}\r\n\r\n".encode()
    url = served.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    async with asyncio.timeout(30):
        writer.write(head + body)
        await reader.readuntil(b"data: ")
        writer.write(b"\x16\x03\x01 noise\r\n\r\n")
        assert b"HTTP/1.1" not in await reader.read()
        await (await decode.calls.number(0)).cancelled.wait()
    writer.close()
    await writer.wait_closed()


async def one_token_and_silence(
    request: decode_pb2.GenerateRequest,
) -> AsyncIterator[decode_pb2.GenerateResponse]:
    yield RESERVED
    yield decoded(records(len(request.prompt_token_ids), [5], finish=None))
    await asyncio.Event().wait()


async def test_a_large_body_after_small_headers_is_not_counted_as_headers(
    served: GatewayUnderTest,
) -> None:
    body = b'{"prompt": 5, "x": "' + b"a" * 90_000 + b'"}'
    head = f"POST {TEXT} HTTP/1.1\r\n{JSON}Content-Length: {len(body)}\r\n\r\n".encode()
    seen = await raw(served, head + body)
    check(seen, 400)
    assert seen[2]["error"]["param"] == "prompt"


async def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(
    served: GatewayUnderTest,
) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\n{JSON}Content-Length: 100001\r\n\r\n".encode()
    check(await raw(served, head), 413)


@pytest.mark.parametrize("length", ["Content-Length: 50", "Transfer-Encoding: chunked"])
async def test_a_body_that_never_ends_is_given_up(served: GatewayUnderTest, length: str) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\n{JSON}{length}\r\n\r\n".encode()
    check(await raw(served, head, b"2\r\n{ \r\n"), 408)


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_an_offer_of_another_protocol_is_ignored_and_the_body_read(
    served: GatewayUnderTest, protocol: str
) -> None:
    body = b'{"prompt": "a\\r\\n\\r\\nUpgrade: x", "n": 0}'
    head = (
        f"POST {TEXT} HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n"
        f"HTTP2-Settings: AAEAAEAA\r\n{JSON}Content-Length: {len(body)}\r\n\r\n"
    )
    seen = await raw(served, head.encode(), body)
    check(seen, 400)
    assert seen[2]["error"]["param"] == "n"


async def test_a_request_id_may_not_be_endless(served: GatewayUnderTest) -> None:
    longest = "i" * LONGEST_ID
    answer = await served.client.get("/v1/models", headers={"X-Request-Id": longest})
    assert answer.headers["x-request-id"] == longest
    answer = await served.client.get("/v1/models", headers={"X-Request-Id": longest + "i"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "X-Request-Id")
    assert answer.headers["x-request-id"] != longest + "i"


async def test_a_slash_behind_a_path_is_as_good_as_none(served: GatewayUnderTest) -> None:
    await served.pair()
    assert (await served.client.get("/v1/models/")).json()["object"] == "list"
    assert (await served.client.get("/v1/models/tiny/")).json()["id"] == "tiny"
    assert (await served.client.post(CHAT + "/", json={"messages": HI})).status_code == 200
    assert (await served.client.get("/nothing/")).status_code == 404


async def test_the_header_of_ignored_fields_names_them_whole(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        unknown = {f"поле {number}": 1 for number in range(1000)}
        answer = await gateway.client.post(CHAT, json={"messages": HI, **unknown})
    *names, last = answer.headers["x-baton-ignored"].split(",")
    assert last == "..."
    assert names[1] == "%D0%BF%D0%BE%D0%BB%D0%B5%201"
    assert len(set(map(len, names[:10]))) == 1


async def test_the_api_describes_its_bodies(served: GatewayUnderTest) -> None:
    document = (await served.client.get("/openapi.json")).json()
    for path, name, required in (
        (CHAT, "ChatCompletionRequest", "messages"),
        (TEXT, "CompletionRequest", "prompt"),
    ):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        assert content["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}
        schema = document["components"]["schemas"][name]
        assert schema["required"] == [required]
        temperature = schema["properties"]["temperature"]["anyOf"][0]
        assert temperature == {"type": "number", "minimum": 0, "maximum": 2}
        assert schema["properties"]["n"]["anyOf"][0]["maximum"] == 128
    assert "Default: 16." in schema["properties"]["max_tokens"]["description"]
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) <= known
    page = await served.client.get("/docs")
    assert page.status_code == 200
    assert "/openapi.json" in page.text


async def test_every_field_of_a_body_tells_its_default(served: GatewayUnderTest) -> None:
    document = (await served.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for name in ("ChatCompletionRequest", "CompletionRequest", "TokenizeRequest"):
        schema = schemas[name]
        optional = schema["properties"].keys() - schema.get("required", [])
        silent = [
            field
            for field in optional - {"prompt", "messages"}
            if "Default" not in schema["properties"][field].get("description", "")
        ]
        assert silent == [], name


async def test_every_path_of_the_readers_list_is_described(served: GatewayUnderTest) -> None:
    document = (await served.client.get("/openapi.json")).json()
    described = {(path, verb) for path, verbs in document["paths"].items() for verb in verbs}
    posts = {(path, "post") for path in (CHAT, TEXT, "/tokenize", "/detokenize", "/ping")}
    gets = {(path, "get") for path in ("/v1/models", "/v1/models/{name}", "/load", "/ping")}
    assert posts | gets <= described
    for path, verb in posts - {("/ping", "post")}:
        assert "requestBody" in document["paths"][path][verb]
        assert "default" in document["paths"][path][verb]["responses"]


def _references(value: Any) -> list[str]:
    """Every `$ref` in it."""
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if "$ref" in value else []
    return own + [name for item in value.values() for name in _references(item)]
