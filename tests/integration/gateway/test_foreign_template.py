"""Templates that come with a request: only where they are trusted, and never for long."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import RequestError
from gateway.prompts import foreign_template
from gateway.prompts.foreign_template import CHILD
from gateway.prompts.rendering import RenderingRules
from gateway.prompts.tokenizer import ChatTokenizer, load_tokenizer
from gateway.schema.message import Message
from tests.support.gateway_rendering import HI, chat_prompt, chat_text


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> ChatTokenizer:
    return load_tokenizer(model_folder)


@pytest.fixture
def rules(tokenizer: ChatTokenizer) -> RenderingRules:
    return RenderingRules(tokenizer.templates, trusts_requests=True)


async def refused(
    tokenizer: ChatTokenizer, rules: RenderingRules | None, template: str
) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await chat_prompt(tokenizer, rules=rules, chat_template=template)
    assert caught.value.param == "chat_template"
    return caught.value


async def test_by_default_none_is_taken(tokenizer: ChatTokenizer) -> None:
    error = await refused(tokenizer, None, "{{ messages[0].content }}")
    assert "--trust-request-chat-template" in str(error)


async def test_a_trusted_one_is_rendered_as_the_models_own_is(
    tokenizer: ChatTokenizer, rules: RenderingRules
) -> None:
    own = tokenizer.templates.choose(False)
    assert own is not None
    fields: Any = {"rules": rules, "continue_final_message": True}
    begun = [*HI, Message.model_validate({"role": "assistant", "content": "Grüße 😀"})]
    expected = await chat_prompt(tokenizer, begun, **fields)
    assert await chat_prompt(tokenizer, begun, chat_template=own.text, **fields) == expected


async def test_it_is_told_what_the_models_own_is(
    tokenizer: ChatTokenizer, rules: RenderingRules
) -> None:
    template = (
        "{{ eos_token }} {{ colour }} {{ longest }} {% for p in messages[0].content %}"
        "{{ p.text }}{% endfor %} {{ tools[0].function.name }} {{ reasoning_effort }}"
    )
    text = await chat_text(
        tokenizer,
        rules=rules,
        chat_template=template,
        chat_template_kwargs={"colour": "red", "longest": 5},
        tools=[{"type": "function", "function": {"name": "look"}}],
        reasoning_effort="high",
    )
    assert text == "<|im_end|> red 5 hi look high"


@pytest.mark.parametrize(
    "template",
    [
        "{% if %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ 1 // 0 }}",
        "{{ '\\ud83d' }}",
        "{{ 'a' * 5000000 }}",
        "(" * 100 + "{{ " + "(" * 5000,
    ],
)
async def test_one_that_fails_is_400(
    tokenizer: ChatTokenizer, rules: RenderingRules, template: str
) -> None:
    await refused(tokenizer, rules, template)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ ('a' * 10000000000) | length }}",
        "{{ (7 ** 1000000000) % 3 }}",
    ],
    ids=["loop", "memory", "power"],
)
async def test_one_that_would_never_end_or_take_all_memory_is_400(
    tokenizer: ChatTokenizer, rules: RenderingRules, template: str
) -> None:
    await refused(tokenizer, rules, template)


async def test_a_process_that_hangs_is_given_up(
    tokenizer: ChatTokenizer, rules: RenderingRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_template, "SECONDS", 0.01)
    error = await refused(tokenizer, rules, "x")
    assert foreign_template.NEVER_ENDS in str(error)


def test_the_process_knows_nothing_of_where_it_was_started(tmp_path: Path) -> None:
    """Its folder holds modules that would hide the standard library's."""
    call = {"conversations": [[{"role": "user", "content": "a"}]], "chat_template": "x"}
    ended = subprocess.run(
        [sys.executable, "-I", str(CHILD)],
        input=json.dumps({"call": call, "longest": 9}).encode(),
        capture_output=True,
        cwd=tmp_path,
        timeout=60,
        check=True,
    )
    assert json.loads(ended.stdout) == {"text": "x"}
