from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway_answer import answering_pair
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_tokenizer import make_tokenizer_folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    """A gateway whose workers answer; a file that needs another has its own."""
    async with running_gateway(model_folder) as gateway:
        await answering_pair(gateway)
        yield gateway


@pytest.fixture
async def impatient(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    """The same, but an answer that broke waits only a moment for a worker to go on."""
    async with running_gateway(model_folder, failover_timeout=0.2) as gateway:
        await answering_pair(gateway)
        yield gateway
