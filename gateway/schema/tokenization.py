"""The bodies of POST /tokenize and /detokenize."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from baton.core.errors import RequestError
from gateway.schema.chat_fields import ChatFields
from gateway.schema.common import ModelRequest
from gateway.schema.completion import check_ids
from gateway.schema.message import Message

TokenId = Annotated[int, Field(ge=0)]


class TokenizeRequest(ChatFields, ModelRequest):
    """A prompt, or the messages of a chat with whatever decides about its template."""

    prompt: str | None = Field(None, description="Either this or messages.")
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)] | None = Field(
        None, description="Either this or prompt."
    )
    return_token_strs: bool | None = Field(
        None, description="Whether each token is spelled out too. Default: false."
    )

    def check(self) -> None:
        super().check()
        if (self.prompt is None) == (self.messages is None):
            raise RequestError("either prompt or messages is needed, and not both", "prompt")
        self.check_chat()

    def unknown_fields(self) -> list[str]:
        names = super().unknown_fields()
        for message in self.messages or ():
            names += [f"messages.{key}" for key in message.unknown_keys()]
        return list(dict.fromkeys(names))


class DetokenizeRequest(ModelRequest):
    tokens: list[TokenId]

    @field_validator("tokens", mode="plain", json_schema_input_type=list[TokenId])
    @classmethod
    def _ids(cls, tokens: Any) -> Any:
        if not isinstance(tokens, list):
            raise ValueError("must be a list of token ids")
        check_ids(tokens)
        return tokens
