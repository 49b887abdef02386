"""The gateway as the outside meets it: keys, HTTPS, a proxy's prefix, web pages of other origins."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from baton import __version__
from gateway.http.cors_settings import CorsSettings
from gateway.http.tls import TlsSettings
from tests.support.certificates import make_certificate
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_reading import CHAT, HI, TEXT, events

ONE = {"Authorization": "Bearer one"}
OPEN = ["/ping", "/ping/", "/version", "/metrics", "/health", "/docs", "/openapi.json"]
GUARDED = [
    *("/v1/models", "/v1/models/tiny", "/status", "/load", "/tokenizer_info"),
    *("/v1/nonsense", "/nonsense", "/", "//health", "/health/x"),
]
GUARDED_POSTS = [CHAT, TEXT, "/tokenize", "/detokenize", "/invocations", "/v1/embeddings"]


@pytest.fixture
async def keyed(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(model_folder, api_key=("one", "two")) as gateway:
        await gateway.pair()
        yield gateway


def is_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"]
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("AuthenticationError", 401, None)


async def test_without_a_key_only_the_open_pages_answer(keyed: GatewayUnderTest) -> None:
    for path in OPEN:
        assert (await keyed.client.get(path)).status_code == 200
    for path in GUARDED:
        is_refused(await keyed.client.get(path))
    assert (await keyed.client.post("/ping")).status_code == 200
    for path in GUARDED_POSTS:
        is_refused(await keyed.client.post(path, json={}))


@pytest.mark.parametrize(
    "header", ["Bearer three", "Bearer", "Basic one", "one", "Bearer one two", "Bearer ONE"]
)
async def test_a_wrong_key_is_refused(keyed: GatewayUnderTest, header: str) -> None:
    is_refused(await keyed.client.get("/v1/models", headers={"Authorization": header}))
    is_refused(await keyed.client.get("/v1/models", headers={"X-Api-Key": "one"}))


async def test_every_key_lets_in_and_is_a_tenant_of_its_own(keyed: GatewayUnderTest) -> None:
    for key in ("one", "two"):
        headers = {"Authorization": f"bearer {key}"}
        assert (await keyed.client.get("/status", headers=headers)).status_code == 200
        answer = await keyed.client.post(CHAT, json={"messages": HI}, headers=headers)
        assert answer.status_code == 200
    prefill = keyed.workers[0]
    tenants = [(await prefill.calls.number(i)).request.tenant for i in (0, 1)]
    assert tenants == [hashlib.sha256(key).hexdigest() for key in (b"one", b"two")]


async def test_keys_are_compared_as_digests_in_constant_time(
    keyed: GatewayUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = list[tuple[str, str]]()

    def compare(one: str | bytes, other: str | bytes) -> bool:
        if isinstance(one, str) and isinstance(other, str):  # workers compare the cluster's secret
            compared.append((one, other))
        return one == other

    monkeypatch.setattr("gateway.tenants.roster.hmac.compare_digest", compare)
    await keyed.client.get("/status", headers=ONE)
    is_refused(await keyed.client.get("/status", headers={"Authorization": "Bearer no"}))
    digests = [hashlib.sha256(key).hexdigest() for key in (b"one", b"two", b"no")]
    one, two, wrong = digests
    assert compared == [(one, one), (one, two), (wrong, one), (wrong, two)]


async def test_without_keys_nobody_is_asked(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        assert (await gateway.client.get("/status")).status_code == 200
        assert (await gateway.client.get("/version")).json() == {"version": __version__}


@pytest.mark.parametrize("prefix", ["", "/llm"])
async def test_a_proxy_may_strip_its_prefix_or_leave_it(model_folder: Path, prefix: str) -> None:
    async with running_gateway(model_folder, root_path="/llm/", api_key=("one",)) as gateway:
        client = gateway.client
        assert (await client.get(f"{prefix}/version")).status_code == 200
        is_refused(await client.get(f"{prefix}/v1/models"))
        is_refused(await client.get(f"{prefix}v1/models"))
        assert (await client.get(f"{prefix}/v1/models", headers=ONE)).status_code == 200
        document = (await client.get(f"{prefix}/openapi.json")).json()
        assert document["servers"] == [{"url": "/llm"}]
        assert "/llm/openapi.json" in (await client.get(f"{prefix}/docs")).text


async def test_the_api_need_not_describe_itself(model_folder: Path) -> None:
    async with running_gateway(model_folder, disable_fastapi_docs=True) as gateway:
        for path in ("/docs", "/openapi.json"):
            assert (await gateway.client.get(path)).status_code == 404


async def test_https(model_folder: Path, tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    tls = TlsSettings(str(made.cert), str(made.key))
    async with running_gateway(model_folder, tls=tls) as gateway:
        assert gateway.client.base_url.scheme == "https"
        await gateway.pair()
        assert (await gateway.client.post(CHAT, json={"messages": HI})).status_code == 200
        plain = str(gateway.client.base_url).replace("https", "http")
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(plain + "/version")


PREFLIGHT = {
    "Origin": "http://page",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


async def test_any_page_may_call_by_default(keyed: GatewayUnderTest) -> None:
    answer = await keyed.client.options(CHAT, headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_may_read_errors_too(
    keyed: GatewayUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("a defect")

    page = {"Origin": "http://page"}
    monkeypatch.setattr("gateway.ui.board.worker_status", fails)
    refused = await keyed.client.get("/v1/models", headers=page)
    is_refused(refused)
    failed = await keyed.client.get("/status", headers=page | ONE)
    assert failed.status_code == 500
    assert failed.headers["x-request-id"]
    for answer in (refused, failed):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


async def test_only_named_pages_may_call(model_folder: Path) -> None:
    cors = CorsSettings(("http://page",), ("GET",), ("x-a",), allow_credentials=True)
    async with running_gateway(model_folder, cors=cors) as gateway:
        allowed = await gateway.client.get("/version", headers={"Origin": "http://page"})
        assert allowed.headers["access-control-allow-origin"] == "http://page"
        assert allowed.headers["access-control-allow-credentials"] == "true"
        other = await gateway.client.get("/version", headers={"Origin": "http://other"})
        assert "access-control-allow-origin" not in other.headers
        refused = await gateway.client.options(CHAT, headers=PREFLIGHT)
        assert refused.status_code == 400


async def test_all_names_are_listed_and_answers_carry_the_first(keyed: GatewayUnderTest) -> None:
    models = (await keyed.client.get("/v1/models", headers=ONE)).json()
    assert [card["id"] for card in models["data"]] == ["tiny", "alias"]
    answer = await keyed.client.post(CHAT, json={"messages": HI, "model": "alias"}, headers=ONE)
    assert answer.json()["model"] == "tiny"


@pytest.mark.parametrize("on", [False, True])
async def test_usage_is_told_as_the_operator_wants(model_folder: Path, on: bool) -> None:
    async with running_gateway(
        model_folder, enable_force_include_usage=on, enable_prompt_tokens_details=on
    ) as gateway:
        await gateway.pair()
        whole = (await gateway.client.post(CHAT, json={"messages": HI})).json()
        assert (whole["usage"]["prompt_tokens_details"] is not None) is on
        stream = await gateway.client.post(CHAT, json={"messages": HI, "stream": True})
        assert ("usage" in events(stream.text)[-1]) is on
