"""What the input of a response may hold, and what its output gives back."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator

from gateway.schema.image_part import ImagePart
from gateway.schema.text_parts import (
    NullIsOmitted,
    Parts,
    Texts,
    WrittenTexts,
    parts_of,
    texts_of,
)

TEXT_KEYS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
REASONING_KEYS = {"reasoning_text": "text", "summary_text": "text", "text": "text"}


class _Item(NullIsOmitted):
    model_config = ConfigDict(extra="allow")

    id: str | None = Field(None, description="As an answer gave it; of no effect.")
    status: str | None = Field(None, description="As an answer gave it; of no effect.")


class MessageItem(_Item):
    type: Literal["message"] = "message"
    role: Literal["user", "system", "developer", "assistant"]
    content: Parts

    @field_validator("content", mode="before", json_schema_input_type=WrittenTexts)
    @classmethod
    def _parts(cls, content: Any) -> Any:
        return parts_of(content, TEXT_KEYS, "input_image", _image_of)


class ReasoningItem(_Item):
    type: Literal["reasoning"]
    summary: Texts = ""
    content: Texts = ""
    encrypted_content: str | None = None

    @field_validator("summary", "content", mode="before", json_schema_input_type=WrittenTexts)
    @classmethod
    def _texts(cls, content: Any) -> Any:
        return texts_of(content, REASONING_KEYS)


class FunctionCallItem(_Item):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str = Field(description="JSON.")


class FunctionCallOutputItem(_Item):
    type: Literal["function_call_output"]
    call_id: str
    output: Parts

    @field_validator("output", mode="before", json_schema_input_type=WrittenTexts)
    @classmethod
    def _parts(cls, output: Any) -> Any:
        return parts_of(output, TEXT_KEYS, "input_image", _image_of)


def _image_of(part: dict[str, Any]) -> ImagePart:
    """`detail` is of no effect. Raises ValueError."""
    if part.get("file_id") is not None:
        raise ValueError("an input_image is read from its image_url; this server keeps no files")
    url = part.get("image_url")
    if not isinstance(url, str) or not url:
        raise ValueError("a part of type 'input_image' needs the string 'image_url'")
    return ImagePart(url=url)


def _kind(item: Any) -> Any:
    """Messages need not say that they are."""
    if isinstance(item, dict):
        return item.get("type") or "message"
    return getattr(item, "type", None)


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionCallOutputItem, Tag("function_call_output")],
    Discriminator(
        _kind,
        custom_error_type="item",
        custom_error_message="an item must be a message, reasoning, function_call or "
        "function_call_output",
    ),
]
