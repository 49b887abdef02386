"""What Anthropic's messages are made of."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator

from gateway.schema.image_part import ImagePart
from gateway.schema.json_object import JsonObject
from gateway.schema.tag import tag_by
from gateway.schema.text_parts import NullIsOmitted, Parts, WrittenTexts, parts_of

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
    content: Parts = ""
    is_error: bool = False

    @field_validator("content", mode="before", json_schema_input_type=WrittenTexts)
    @classmethod
    def _parts(cls, content: Any) -> Any:
        return parts_of(content, TEXT_KEYS, "image", image_of_block)


class ImageBlock(_Block):
    type: Literal["image"]
    source: ImagePart

    @field_validator("source", mode="before", json_schema_input_type=dict[str, Any])
    @classmethod
    def _read(cls, source: Any) -> Any:
        return source if isinstance(source, ImagePart) else _image_from(source)


def image_of_block(block: dict[str, Any]) -> ImagePart:
    """Raises ValueError."""
    return _image_from(block.get("source"))


def _image_from(source: Any) -> ImagePart:
    kind = source.get("type") if isinstance(source, dict) else None
    keys = {"base64": ("media_type", "data"), "url": ("url",)}.get(str(kind))
    if not isinstance(source, dict) or keys is None:
        raise ValueError("the source of an image must be base64 or url")
    for key in keys:
        if not isinstance(source.get(key), str) or not source[key]:
            raise ValueError(f"the source of an image of type {kind!r} needs the string {key!r}")
    if kind == "url":
        return ImagePart(url=source["url"])
    return ImagePart(url=f"data:{source['media_type']};base64,{source['data']}")


UserBlock = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ImageBlock, Tag("image")]
    | Annotated[ToolResultBlock, Tag("tool_result")],
    Discriminator(
        tag_by("type"),
        custom_error_type="block",
        custom_error_message="a block of a user must be text, image or tool_result; documents are "
        "not supported",
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
