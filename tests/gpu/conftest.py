"""Models for tests on a CUDA device. Without one, all of them are skipped (tests/conftest.py)."""

from pathlib import Path

import pytest

from tests.support.models import make


@pytest.fixture(scope="session")
def gpu_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu-models")


@pytest.fixture(scope="session")
def llama(gpu_models: Path) -> Path:
    return make("Llama", gpu_models / "llama")
