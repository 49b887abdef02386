"""HTTP requests on the metrics page of a gateway."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.metrics_page import page_of

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


@pytest_asyncio.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(model_folder, root_path="/llm", api_key=("k",)) as gateway:
        gateway.client.headers["Authorization"] = "Bearer k"
        await gateway.pair()
        yield gateway


@pytest.mark.parametrize(
    ("method", "path", "handler", "status"),
    [
        ("POST", CHAT, CHAT, "2xx"),
        ("POST", f"/llm{CHAT}/", CHAT, "2xx"),
        ("GET", "/v1/models/tiny", "/v1/models/{name:path}", "2xx"),
        ("GET", CHAT, CHAT, "4xx"),
        ("GET", "/nowhere/17", "none", "4xx"),
    ],
)
async def test_an_answer_is_counted_by_its_route_and_class(
    served: GatewayUnderTest, method: str, path: str, handler: str, status: str
) -> None:
    await served.client.request(method, path, json=BODY if method == "POST" else None)
    page = await page_of(served.client)
    labels = {"handler": handler, "method": method}
    assert page.value("http_requests_total", status=status, **labels) == 1
    assert page.value("http_requests_total") == 1
    assert page.value("http_request_duration_seconds_count", **labels) == 1
    assert page.value("http_request_duration_highr_seconds_count") == 1


async def test_a_stream_is_one_request(served: GatewayUnderTest) -> None:
    async with served.client.stream("POST", CHAT, json=BODY | {"stream": True}) as answer:
        assert answer.status_code == 200
        await answer.aread()
    page = await page_of(served.client)
    assert page.value("http_requests_total", handler=CHAT, status="2xx") == 1


async def test_a_wrong_key_and_a_strange_method_are_counted_too(served: GatewayUnderTest) -> None:
    await served.client.post(CHAT, json=BODY, headers={"Authorization": "Bearer x"})
    await served.client.request("PROPFIND", CHAT)
    page = await page_of(served.client)
    assert page.value("http_requests_total", handler="none", method="POST", status="4xx") == 1
    assert page.value("http_requests_total", method="other", status="4xx") == 1


async def test_pages_for_machines_are_not_counted(served: GatewayUnderTest) -> None:
    for path in ("/health", "/ping", "/load", "/version", "/metrics"):
        assert (await served.client.get(path)).status_code == 200
    assert (await page_of(served.client)).value("http_requests_total") == 0
