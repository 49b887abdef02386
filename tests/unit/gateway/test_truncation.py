"""Only the end of a prompt is kept, if that is asked for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.core.errors import RequestError
from gateway.limits import Limits
from gateway.prompts.tokenizer import ChatTokenizer
from gateway.prompts.truncation import kept_text, kept_tokens
from gateway.schema.template_fields import PromptFields
from tests.support.gateway_rendering import HI, chat_prompt

LIMITS = Limits(max_model_len=100, vocab_size=512)


def kept(asked: int | None, max_tokens: int | None = None) -> int | None:
    return kept_tokens(
        PromptFields.model_validate({"truncate_prompt_tokens": asked}), LIMITS, max_tokens
    )


@pytest.mark.parametrize(
    ("asked", "max_tokens", "expected"),
    [
        (None, 5, None),
        (1, 5, 1),
        (100, None, 100),
        (-1, None, 99),
        (-1, 30, 70),
        (-1, 1000, 1),
    ],
)
def test_minus_one_leaves_room_for_the_answer(asked: Any, max_tokens: Any, expected: Any) -> None:
    assert kept(asked, max_tokens) == expected


def test_no_more_is_kept_than_the_model_takes() -> None:
    with pytest.raises(RequestError, match="101 is more") as caught:
        kept(101)
    assert caught.value.param == "truncate_prompt_tokens"


async def test_the_last_tokens_of_the_whole_prompt_are_kept(tokenizer: ChatTokenizer) -> None:
    whole = await chat_prompt(tokenizer)
    assert await chat_prompt(tokenizer, truncate_prompt_tokens=3) == whole[-3:]
    assert await chat_prompt(tokenizer, truncate_prompt_tokens=1000) == whole
    [plain] = await tokenizer.tokens_of(["hello world"], LIMITS)
    assert await tokenizer.tokens_of(["hello world"], LIMITS, kept=2) == [plain[-2:]]


async def test_a_prompt_that_would_be_too_long_is_cut_instead(tokenizer: ChatTokenizer) -> None:
    long = [HI[0].model_copy(update={"content": "the quick brown fox " * 10_000})]
    with pytest.raises(RequestError, match="at least"):
        await chat_prompt(tokenizer, long, LIMITS)
    assert len(await chat_prompt(tokenizer, long, LIMITS, truncate_prompt_tokens=20)) == 20


@given(st.text(alphabet="ab é😀\n", min_size=200, max_size=400), st.integers(1, 8))
def test_what_is_cut_off_before_tokenising_is_not_missed(text: str, kept: int) -> None:
    assert kept_text(text, None, 1) == text
    assert text.endswith(kept_text(text, kept, 1))
    assert len(kept_text(text, kept, 1)) >= min(len(text), kept)
