"""One chat message: any role, text in any of its spellings, calls of tools and their answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import from_json

from gateway.schema.image_part import IMAGE_KINDS, ImagePart, image_of_part

TEXT_KEYS = {  # type of a part -> the key that holds its text
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "thinking": "thinking",
}
MEDIA_WORDS = ("image", "audio", "video")
Part = str | ImagePart


class CalledFunction(BaseModel):
    """`arguments` is an object once it was read, or a text that is none."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] | str = Field(
        {}, description="A text of JSON, or the object itself. Default: {}."
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_omitted(cls, data: Any) -> Any:
        return _without_nulls(data, "a function")

    @field_validator("arguments")
    @classmethod
    def _parsed(cls, arguments: dict[str, Any] | str) -> dict[str, Any] | str:
        """What the model wrote may be broken, and must still be shown to it as it was."""
        if not isinstance(arguments, str):
            return arguments
        try:
            value = from_json(arguments) if arguments.strip() else {}
        except ValueError:
            return arguments
        return value if isinstance(value, dict) else arguments


class ToolCall(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction

    @model_validator(mode="before")
    @classmethod
    def _null_is_omitted(cls, data: Any) -> Any:
        return _without_nulls(data, "a tool call")


class Message(BaseModel):
    """`content` is a string, or its parts in order: texts and images."""

    model_config = ConfigDict(extra="allow")

    role: str = Field(description="system, developer, user, assistant, tool, or any other.")
    content: str | list[Part] = Field(
        "", description="A text, or parts: of text, and of images where the model reads them."
    )
    name: str | None = None
    tool_calls: list[ToolCall] | None = Field(None, description="What the assistant called.")
    tool_call_id: str | None = Field(None, description="The call that this message answers.")
    function_call: CalledFunction | None = Field(
        None, description="The older form of one tool call, read as such."
    )
    reasoning: str | None = Field(None, description="Told to the template by both names.")
    reasoning_content: str | None = Field(None, description="The other name of reasoning.")

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("a message must be an object")
        if "content" in data and data["content"] is None and data.get("role") != "assistant":
            raise ValueError("content must not be null")
        said = {key: value for key, value in data.items() if value is not None}
        return said | dict.fromkeys(_foreign_keys_of_parts(said.get("content")), True)

    @field_validator(
        "content", mode="before", json_schema_input_type=str | list[str | dict[str, Any]] | None
    )
    @classmethod
    def _read_parts(cls, content: Any) -> Any:
        return [read_part(part) for part in content] if isinstance(content, list) else content

    @property
    def parts(self) -> list[Part]:
        return [self.content] if isinstance(self.content, str) else self.content

    @property
    def images(self) -> list[ImagePart]:
        return [part for part in self.parts if isinstance(part, ImagePart)]

    @property
    def text(self) -> str:
        """Of the content, as templates read it that take one string."""
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def length(self) -> int:
        """In characters, roughly."""
        reasoning = self.reasoning or self.reasoning_content or ""
        calls = sum(len(str(call.function.arguments)) for call in self.calls)
        return len(self.text) + len(reasoning) + calls

    @property
    def calls(self) -> list[ToolCall]:
        """By either name."""
        if self.tool_calls or self.function_call is None:
            return self.tool_calls or []
        return [ToolCall(function=self.function_call)]

    def unknown_keys(self) -> list[str]:
        return list(self.model_extra or {})


def read_part(part: Any) -> Part:
    """Raises ValueError for anything that is neither text nor an image's URL."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise ValueError("a content part must be an object or a string")
    kind = part.get("type")
    name = kind if kind is not None else next((key for key in part if key != "uuid"), "")
    if not isinstance(name, str):
        raise ValueError("the type of a content part must be a string")
    if name in IMAGE_KINDS:
        return image_of_part(part, name)
    if any(word in name for word in MEDIA_WORDS):
        raise ValueError(
            f"a part of type {name!r} is not read: beside text there are only images, as image_url"
        )
    if name not in TEXT_KEYS:
        raise ValueError(f"{name!r} is not a type of content part")
    text = part.get(TEXT_KEYS[name])
    if not isinstance(text, str):
        raise ValueError(f"a part of type {name!r} needs the string {TEXT_KEYS[name]!r}")
    return text


def _foreign_keys_of_parts(content: Any) -> list[str]:
    """Keys that say nothing about a text, such as `uuid`, by the path under which they are told."""
    if not isinstance(content, list):
        return []
    parts = [part for part in content if isinstance(part, dict)]
    keys = {key for part in parts for key in part if key not in TEXT_KEYS.values()}
    inner = {key for part in parts for key in _inside(part.get("image_url"))}
    return [f"content.{key}" for key in sorted(keys - {"type", "image_url"} | inner)]


def _inside(image_url: Any) -> list[str]:
    """What an image is said to be beside its URL, such as its `detail`: it changes nothing."""
    keys = image_url if isinstance(image_url, dict) else ()
    return [f"image_url.{key}" for key in keys if key != "url"]


def _without_nulls(data: Any, what: str) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{what} must be an object")
    return {key: value for key, value in data.items() if value is not None}
