"""The body of POST /v1/chat/completions."""

from typing import Annotated

from pydantic import Field

from gateway.schema.common import GenerationRequest
from gateway.schema.message import Message
from gateway.schema.structured_fields import StructuredFields


class ChatCompletionRequest(StructuredFields, GenerationRequest):
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]

    def unknown_fields(self) -> list[str]:
        names = super().unknown_fields()
        for message in self.messages:
            names += [f"messages.{key}" for key in message.unknown_keys()]
        return list(dict.fromkeys(names))
