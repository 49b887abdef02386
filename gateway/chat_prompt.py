"""The messages of a request, and all that it says about its template -> the prompt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.types import Receive

from gateway.limits import Limits
from gateway.preparation import Preparation
from gateway.rendering import Rendering, RenderingRules
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.chat_fields import ChatFields
from gateway.schema.message import Message
from gateway.tokenizer import ChatTokenizer
from gateway.truncation import kept_tokens


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    ids: list[int]
    limits: Limits
    rendering: Rendering


class ChatPrompts:
    def __init__(
        self, preparation: Preparation, tokenizer: ChatTokenizer, rules: RenderingRules
    ) -> None:
        self._preparation = preparation
        self._tokenizer = tokenizer
        self._rules = rules

    async def of(self, asked: ChatCompletionRequest, receive: Receive) -> ChatPrompt:
        """Raises RequestError, or ClientDisconnect while it waits for a first worker."""
        return await self.of_messages(
            asked.messages, asked, receive, max_tokens=asked.wanted_tokens
        )

    async def of_messages(
        self,
        messages: Sequence[Message],
        asked: ChatFields,
        receive: Receive,
        *,
        max_tokens: int | None = None,
        room: int = 1,
    ) -> ChatPrompt:
        """`room`: the prompt may be so many times longer than what the model takes."""
        rendering = self._rules.rendering(messages, asked)
        limits = await self._preparation.limits(receive)
        kept = kept_tokens(asked, limits, max_tokens)
        roomy = replace(limits, max_model_len=limits.max_model_len * room)
        ids = await self._tokenizer.prompt_of(messages, roomy, rendering, kept)
        return ChatPrompt(ids, limits, rendering)
