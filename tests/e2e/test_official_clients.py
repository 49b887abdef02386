"""Official clients tour a cluster without an adapter. What they do is in tests/clients/."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.clients import Client
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.official_clients import clients_python, tour

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

NAME = "tour"
# Whether the model below understands what it is asked; if not, only shapes are looked at.
MODEL_ANSWERS = False
WEATHER = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def touring_model(hash_model: Path) -> Path:
    return hash_model


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def toured(touring_model: Path) -> AsyncIterator[RunningCluster]:
    clients_python()
    async with running_cluster(touring_model, served_model_name=NAME) as running:
        yield running


@pytest.mark.parametrize(
    ("client", "step"),
    [
        ("openai", "talk"),
        ("openai", "responses"),
        ("anthropic", "talk"),
        ("langchain", "talk"),
        ("litellm", "talk"),
    ],
)
async def test_a_client_talks(
    toured: RunningCluster, client: str, step: str, tmp_path: Path
) -> None:
    await tour(client, toured.url, NAME, step, MODEL_ANSWERS, tmp_path)


@pytest.mark.parametrize(
    ("client", "step"),
    [
        ("openai", "tools"),
        ("openai", "structured"),
        ("openai", "responses_tools"),
        ("anthropic", "tools"),
        ("langchain", "tools"),
        ("langchain", "structured"),
        ("litellm", "tools"),
    ],
)
async def test_a_client_uses_tools_and_schemas(
    toured: RunningCluster, client: str, step: str, tmp_path: Path
) -> None:
    if not await has_tools(toured):
        pytest.skip("this server refuses tools and schemas by name")
    await tour(client, toured.url, NAME, step, MODEL_ANSWERS, tmp_path)


async def has_tools(cluster: RunningCluster) -> bool:
    """Until both act: a refusal names the field."""
    hi = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    fields = ({"tools": [WEATHER]}, {"response_format": {"type": "json_object"}})
    async with Client(cluster.url) as client:
        answers = [await client.post("/v1/chat/completions", {**hi, **field}) for field in fields]
    return all(answer.status_code == 200 for answer in answers)
