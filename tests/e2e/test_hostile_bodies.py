"""No body, however odd, makes the gateway fail or a worker suffer: by mutation of right bodies, and
by schemathesis from our own description of the API.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from baton.cluster.model_presets import make_model
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.cluster_state import nothing_is_held
from tests.support.mutated_bodies import bodies

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
OPENAI = {"message", "type", "param", "code"}
LONGEST = 96  # tokens: whatever is asked for, it ends soon
SECONDS = 30  # for one request
TAKEN = {"method", "url", "params", "headers", "json", "data"}  # of what schemathesis makes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningCluster]:
    """A real model, so that every field has something to act on."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_model("tiny", folder, silent)
    async with running_cluster(folder, max_model_len=LONGEST) as running:
        yield running


@pytest.mark.timeout(300)
async def test_mutated_bodies(small: RunningCluster) -> None:
    await unharmed(small, mutated, 1_000)


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_many_mutated_bodies(small: RunningCluster) -> None:
    await unharmed(small, mutated, 10_000)


@pytest.mark.timeout(300)
async def test_requests_made_from_our_own_description(small: RunningCluster) -> None:
    await unharmed(small, described, 200)


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_many_requests_made_from_our_own_description(small: RunningCluster) -> None:
    await unharmed(small, described, 2_000)


async def unharmed(cluster: RunningCluster, fuzz: Any, count: int) -> None:
    before = await cluster.pids()
    with httpx.Client(base_url=cluster.url, timeout=SECONDS, trust_env=False) as http:
        await asyncio.to_thread(fuzz, http, count)
    await nothing_is_held(cluster)
    assert await cluster.pids() == before


def silent(_: str) -> None:
    pass


def mutated(http: httpx.Client, count: int) -> None:
    @examples(count)
    @given(bodies())
    def send(body: bytes) -> None:
        answer = http.post(CHAT, content=body, headers={"content-type": "application/json"})
        check(answer)

    send()


def described(http: httpx.Client, count: int) -> None:
    """`count` requests in all, shared out over the operations."""
    schema: Any = schemathesis.openapi.from_dict(http.get("/openapi.json").json())
    ending = schema.exclude(path="/ui/events")  # which goes on for as long as it is heard
    operations = [result.ok() for result in ending.get_all_operations()]
    cases: Any = st.one_of([operation.as_strategy() for operation in operations])

    @examples(count)
    @given(case=cases)
    def send(case: Any) -> None:
        made = case.as_transport_kwargs(base_url=str(http.base_url))
        check(http.request(**{key: made[key] for key in TAKEN & made.keys()}))

    send()


def examples(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def check(answer: httpx.Response) -> None:
    """Never our fault, and what is refused is refused as OpenAI or Anthropic does it."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        anthropic = answer.url.path.startswith("/v1/messages")
        assert set(answer.json()["error"]) == ({"message", "type"} if anthropic else OPENAI)
        return
    for line in answer.text.splitlines():
        if line.startswith("data: {"):
            assert "error" not in json.loads(line.removeprefix("data: ")), line
