from pathlib import Path

import pytest

from tests.support.gateway_tokenizer import make_tokenizer_folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("model"))
