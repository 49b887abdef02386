from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.placing import refusals
from gateway.prompts.tokenizer import ChatTokenizer, load_tokenizer
from gateway.serving import queue
from tests.support.gateway_answer import answering_pair
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_tokenizer import CHATML, make_tokenizer_folder
from tests.support.mortal_pairs import two_pairs_of

THINKING = CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}{# </think> #}"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    """A gateway whose workers answer; a file that needs another has its own."""
    async with running_gateway(model_folder) as gateway:
        await answering_pair(gateway)
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def refusing(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    """The same, one for all tests of a file in which no worker is to hear of anything."""
    async with running_gateway(model_folder) as gateway:
        await answering_pair(gateway)
        yield gateway
        assert all(not worker.calls.all for worker in gateway.workers)


@pytest.fixture(scope="session")
def thinking_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("thinking"), THINKING)


@pytest.fixture(scope="session")
def tokenizer(thinking_folder: Path) -> ChatTokenizer:
    return load_tokenizer(thinking_folder)


@pytest.fixture
def soon_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real workers say so when they have room again; scripted ones report no load."""
    monkeypatch.setattr(refusals, "FORGOTTEN_AFTER", 0.1)
    monkeypatch.setattr(queue, "TICK", 0.02)


@pytest.fixture
async def two_pairs(thinking_folder: Path, soon_forgotten: None) -> AsyncIterator[GatewayUnderTest]:
    async with two_pairs_of(thinking_folder) as gateway:
        yield gateway


@pytest.fixture
async def impatient(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    """The same, but an answer that broke waits only a moment for a worker to go on."""
    async with running_gateway(model_folder, failover_timeout=0.2) as gateway:
        await answering_pair(gateway)
        yield gateway
