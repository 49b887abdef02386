"""Models and clusters for the tests of the whole."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from baton.cluster.model_presets import make_model
from tests.support.clients import Client
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.models import make_llama


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="session")
def hash_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "hash"
    make_model("hash", folder, silent)
    return folder


@pytest.fixture(scope="session")
def slow_hash_model(hash_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but each step takes 20 ms, so that a test finds it at work."""
    folder = tmp_path_factory.mktemp("models") / "slow"
    folder.mkdir()
    for file in hash_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((hash_model / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "step_seconds": 0.02}))
    return folder


@pytest.fixture(scope="session")
def llama(hash_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random float32 Llama with a tokenizer; ids beyond its vocabulary are not drawn."""
    folder = make_llama(tmp_path_factory.mktemp("models") / "llama")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (hash_model / name).exists():
            (folder / name).write_bytes((hash_model / name).read_bytes())
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(hash_model: Path) -> AsyncIterator[RunningCluster]:
    """One prefill and one decode worker on the hash model, shared by a module's tests."""
    async with running_cluster(hash_model) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(cluster: RunningCluster) -> AsyncIterator[Client]:
    async with Client(cluster.url) as client:
        yield client
