"""What Anthropic's messages are made of."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator

from gateway.schema.json_object import JsonObject
from gateway.schema.tag import tag_by
from gateway.schema.text_parts import NullIsOmitted, Texts, WrittenTexts, texts_of

TEXT_KEYS = {"text": "text"}


class _Block(NullIsOmitted):
    model_config = ConfigDict(extra="allow")

    cache_control: dict[str, Any] | None = Field(
        None, description="Of no effect: every prompt is cached by its beginning."
    )


class TextBlock(_Block):
    type: Literal["text"]
    text: str


class ThinkingBlock(_Block):
    type: Literal["thinking"]
    thinking: str
    signature: str | None = Field(None, description="As an answer gave it; of no effect.")


class ToolUseBlock(_Block):
    type: Literal["tool_use"]
    id: str
    name: str
    input: JsonObject


class ToolResultBlock(_Block):
    type: Literal["tool_result"]
    tool_use_id: str
    content: Texts = ""
    is_error: bool = False

    @field_validator("content", mode="before", json_schema_input_type=WrittenTexts)
    @classmethod
    def _texts(cls, content: Any) -> Any:
        return texts_of(content, TEXT_KEYS)


UserBlock = Annotated[
    Annotated[TextBlock, Tag("text")] | Annotated[ToolResultBlock, Tag("tool_result")],
    Discriminator(
        tag_by("type"),
        custom_error_type="block",
        custom_error_message="a block of a user must be text or tool_result; images and documents "
        "are not supported",
    ),
]
AssistantBlock = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[ToolUseBlock, Tag("tool_use")],
    Discriminator(
        tag_by("type"),
        custom_error_type="block",
        custom_error_message="a block of an assistant must be text, thinking or tool_use",
    ),
]


def _blocks(content: Any) -> Any:
    """A text is one block; told apart here, so that a wrong block is told as one."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class UserMessage(NullIsOmitted):
    model_config = ConfigDict(extra="allow")

    role: Literal["user"]
    content: Annotated[
        list[UserBlock], BeforeValidator(_blocks, json_schema_input_type=str | list[UserBlock])
    ]


class AssistantMessage(NullIsOmitted):
    model_config = ConfigDict(extra="allow")

    role: Literal["assistant"]
    content: Annotated[
        list[AssistantBlock],
        BeforeValidator(_blocks, json_schema_input_type=str | list[AssistantBlock]),
    ]


AnthropicMessage = Annotated[
    Annotated[UserMessage, Tag("user")] | Annotated[AssistantMessage, Tag("assistant")],
    Discriminator(
        tag_by("role"),
        custom_error_type="role",
        custom_error_message="a message needs the role user or assistant",
    ),
]
