"""Messages to a prompt, as a request with these fields would have it."""

from collections.abc import Sequence
from typing import Any

from gateway.limits import Limits
from gateway.prompts.rendering import Rendering, RenderingRules
from gateway.prompts.tokenizer import ChatTokenizer
from gateway.prompts.truncation import kept_tokens
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.message import Message

LIMITS = Limits(max_model_len=100_000, vocab_size=512)
HI = [Message.model_validate({"role": "user", "content": "hi"})]


def rendering_of(
    tokenizer: ChatTokenizer,
    messages: Sequence[Message] = HI,
    rules: RenderingRules | None = None,
    **fields: Any,
) -> Rendering:
    asked = asked_with(messages, **fields)
    chosen = rules or RenderingRules(tokenizer.templates)
    return chosen.rendering(messages, asked)


async def chat_prompt(
    tokenizer: ChatTokenizer,
    messages: Sequence[Message] = HI,
    limits: Limits = LIMITS,
    rules: RenderingRules | None = None,
    **fields: Any,
) -> list[int]:
    kept = kept_tokens(asked_with(messages, **fields), limits, fields.get("max_tokens"))
    rendering = rendering_of(tokenizer, messages, rules, **fields)
    return await tokenizer.prompt_of(messages, limits, rendering, kept)


async def chat_text(
    tokenizer: ChatTokenizer,
    messages: Sequence[Message] = HI,
    rules: RenderingRules | None = None,
    **fields: Any,
) -> str:
    return tokenizer.text_of(await chat_prompt(tokenizer, messages, rules=rules, **fields))


def asked_with(messages: Sequence[Message], **fields: Any) -> ChatCompletionRequest:
    written = [message.model_dump(exclude_none=True) for message in messages]
    asked = ChatCompletionRequest.model_validate({"messages": written, **fields})
    asked.check()
    return asked
