"""Whatever a body holds: it becomes a prompt, or a RequestError that can be told. Never a defect."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baton.core.errors import RequestError
from gateway.limits import Limits
from gateway.prompts.rendering import RenderingRules
from gateway.prompts.tokenizer import ChatTokenizer
from gateway.prompts.truncation import kept_tokens
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.completion import CompletionRequest
from gateway.schema.parse import parse
from gateway.schema.tokenization import DetokenizeRequest, TokenizeRequest

LIMITS = Limits(max_model_len=1000, vocab_size=512)
WORDS = st.sampled_from(
    ["user", "assistant", "function", "none", "auto", "required", "text", "low", "f", "-1", "{}"]
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 3)
    | st.floats()
    | WORDS
    | st.text(max_size=5)
)
KEYS = WORDS | st.sampled_from(["role", "content", "type", "name", "arguments", "tool_calls"])
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
CALL = st.fixed_dictionaries({"name": WORDS}, optional={"arguments": ANYTHING})
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "refusal", "image_url", "x"])},
    optional={"text": ANYTHING, "refusal": WORDS, "uuid": ANYTHING},
)
MESSAGE = st.fixed_dictionaries(
    {"role": WORDS},
    optional={
        "content": st.text(max_size=9) | st.lists(PART | ANYTHING, max_size=3) | ANYTHING,
        "tool_calls": st.lists(st.fixed_dictionaries({"function": CALL}), max_size=2) | ANYTHING,
        "function_call": CALL | ANYTHING,
        "name": ANYTHING,
        "tool_call_id": ANYTHING,
        "reasoning": ANYTHING,
    },
)
TOOL = st.fixed_dictionaries({"function": st.fixed_dictionaries({"name": WORDS})})
CHAT = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=3) | ANYTHING},
    optional={
        **dict.fromkeys(ChatCompletionRequest.model_fields.keys() - {"messages"}, ANYTHING),
        "tools": st.lists(TOOL | ANYTHING, max_size=2),
    },
)

ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


async def prompt_of(tokenizer: ChatTokenizer, body: dict[str, Any]) -> list[int]:
    asked = parse(ChatCompletionRequest, json.dumps(body).encode())
    rendering = RenderingRules(tokenizer.templates).rendering(asked.messages, asked)
    kept = kept_tokens(asked, LIMITS, asked.wanted_tokens)
    return await tokenizer.prompt_of(asked.messages, LIMITS, rendering, kept)


@ONCE
@given(CHAT)
def test_a_chat_becomes_a_prompt_or_is_refused(
    tokenizer: ChatTokenizer, body: dict[str, Any]
) -> None:
    with suppress(RequestError):
        asyncio.run(prompt_of(tokenizer, body))


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(CompletionRequest.model_fields, ANYTHING)))
def test_a_completion_is_read_or_refused(body: dict[str, Any]) -> None:
    with suppress(RequestError):
        asked = parse(CompletionRequest, json.dumps(body).encode())
        assert asked.texts or asked.token_ids


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(TokenizeRequest.model_fields, ANYTHING)))
def test_a_text_to_tokenise_is_read_or_refused(body: dict[str, Any]) -> None:
    for kind in (TokenizeRequest, DetokenizeRequest):
        with suppress(RequestError):
            parse(kind, json.dumps(body).encode())


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(RequestError):
        parse(ChatCompletionRequest, body)
