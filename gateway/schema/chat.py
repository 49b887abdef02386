"""The body of POST /v1/chat/completions."""

from typing import Annotated

from pydantic import Field

from gateway.schema.beam_fields import BeamFields
from gateway.schema.chat_fields import ChatFields
from gateway.schema.common import GenerationRequest
from gateway.schema.message import Message


class ChatCompletionRequest(ChatFields, BeamFields, GenerationRequest):
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]

    def check(self) -> None:
        super().check()
        self.check_chat()

    def unknown_fields(self) -> list[str]:
        names = super().unknown_fields()
        for message in self.messages:
            names += [f"messages.{key}" for key in message.unknown_keys()]
        return list(dict.fromkeys(names))
