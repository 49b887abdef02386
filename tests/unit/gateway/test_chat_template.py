"""A chat template of the operator's own, and what templates are told."""

from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from gateway.limits import Limits
from gateway.schema.message import Message
from gateway.tokenizer import load_tokenizer
from tests.support.gateway_tokenizer import make_tokenizer_folder

LIMITS = Limits(max_model_len=1000, vocab_size=512)
HI = [Message.model_validate({"role": "user", "content": "hi"})]
TEMPLATE = "{% if loud %}HEY {% endif %}{{ messages[0]['content'] }}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("model"))


async def prompt(folder: Path, template: str, **kwargs: object) -> list[int]:
    return await load_tokenizer(folder, template, kwargs).prompt_of(HI, LIMITS)


async def tokens(folder: Path, text: str) -> list[int]:
    (ids,) = await load_tokenizer(folder).tokens_of([text], LIMITS)
    return ids


async def test_a_template_may_be_a_file_or_the_text_itself(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text(TEMPLATE)
    expected = await tokens(folder, "hi")
    assert await prompt(folder, str(file)) == expected
    assert await prompt(folder, TEMPLATE) == expected
    assert await prompt(folder, "") != expected


async def test_a_template_is_told_what_was_given(folder: Path) -> None:
    assert await prompt(folder, TEMPLATE, loud=True) == await tokens(folder, "HEY hi")
    assert await prompt(folder, TEMPLATE, loud=False) == await tokens(folder, "hi")


def test_what_cannot_be_used_stops_the_start(folder: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read --chat-template /no/such: No such file"):
        load_tokenizer(folder, "/no/such")
    with pytest.raises(SettingsError, match="the chat template does not parse"):
        load_tokenizer(folder, "{% if %}")
    with pytest.raises(SettingsError, match="kwargs cannot set add_generation_prompt"):
        load_tokenizer(folder, "", {"add_generation_prompt": False})
