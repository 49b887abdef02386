"""One tokenizer for all tests of this folder: training it takes longer than they do."""

import logging
from pathlib import Path

import pytest

from baton.grammars.tokens import load_tokens
from gateway.prompts.tokenizer import ChatTokenizer, load_tokenizer
from tests.support.acceptance import Acceptance
from tests.support.gateway_tokenizer import make_tokenizer_folder


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> ChatTokenizer:
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="session")
def acceptance(tokenizer_folder: Path) -> Acceptance:
    return Acceptance(load_tokens(tokenizer_folder, 0, (), logging.getLogger()))
