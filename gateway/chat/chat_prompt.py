"""The messages of a request, and all that it says about its template -> the prompt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.types import Receive

from baton.core.errors import RequestError
from baton.core.prompt_images import PromptImage
from gateway.images.desk import ImageDesk
from gateway.images.expansion import expand, expanded_length
from gateway.limits import Limits, check_length
from gateway.preparation import Preparation
from gateway.prompts.rendering import Rendering, RenderingRules
from gateway.prompts.tokenizer import ChatTokenizer
from gateway.prompts.truncation import kept_tokens
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.chat_fields import ChatFields
from gateway.schema.message import Message


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    ids: list[int]
    limits: Limits
    rendering: Rendering
    images: tuple[PromptImage, ...] = ()


class ChatPrompts:
    def __init__(
        self,
        preparation: Preparation,
        tokenizer: ChatTokenizer,
        rules: RenderingRules,
        images: ImageDesk,
    ) -> None:
        self._preparation = preparation
        self._tokenizer = tokenizer
        self._rules = rules
        self._images = images
        self._image_text = "" if images.rules is None else tokenizer.text_of(images.rules.marks)

    @property
    def reads_images(self) -> bool:
        return self._images.rules is not None

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
        parts = [part for message in messages for part in message.images]
        if parts and kept is not None:
            raise RequestError(
                "a prompt with images is not truncated: half of an image is none",
                "truncate_prompt_tokens",
            )
        images = await self._images.read(parts, asked.mm_processor_kwargs)
        roomy = replace(limits, max_model_len=limits.max_model_len * room)
        ids = await self._tokenizer.prompt_of(messages, roomy, rendering, kept, self._image_text)
        if not images or self._images.rules is None:
            return ChatPrompt(ids, limits, rendering)
        check_length(expanded_length(ids, images), roomy, "messages")
        ids, placed = expand(ids, self._images.rules.token_id, images)
        return ChatPrompt(ids, limits, rendering, placed)
