"""Official clients tour a cluster without an adapter. What they do is in tests/clients/."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from baton.cluster.demo_model import FOLDER
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.official_clients import clients_python, tour

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

NAME = "tour"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def toured() -> AsyncIterator[RunningCluster]:
    """The model that comes with Baton: it does what it is asked."""
    clients_python()
    async with running_cluster(FOLDER, served_model_name=NAME) as running:
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
    await tour(client, toured.url, NAME, step, tmp_path)


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
    await tour(client, toured.url, NAME, step, tmp_path)
