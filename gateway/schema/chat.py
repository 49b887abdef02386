"""The body of POST /v1/chat/completions."""

from typing import Annotated

from pydantic import Field

from gateway.schema.beam_fields import BeamFields
from gateway.schema.chat_fields import ChatFields
from gateway.schema.common import GenerationRequest
from gateway.schema.message import Message
from gateway.schema.output_fields import ChatOutputFields


class ChatCompletionRequest(ChatFields, ChatOutputFields, BeamFields, GenerationRequest):
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]

    def check(self) -> None:
        super().check()
        self.check_chat()

    @property
    def wanted_prompt_logprobs(self) -> int | None:
        """A stream has no place for them. A chat that is echoed has them, as in vLLM."""
        if self.stream:
            return None
        if self.prompt_logprobs is None and self.echo:
            return self.top_logprobs or 0
        return self.prompt_logprobs

    def unknown_fields(self) -> list[str]:
        names = super().unknown_fields()
        for message in self.messages:
            names += [f"messages.{key}" for key in message.unknown_keys()]
        return list(dict.fromkeys(names))
