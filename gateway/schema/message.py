"""One chat message. Only text so far; parts of a list may go by several names for text."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

TEXT_KEYS = {  # type of a part -> the key that holds its text
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "thinking": "thinking",
}
MEDIA_WORDS = ("image", "audio", "video")
LATER = ("tool_calls", "tool_call_id", "function_call")


class Message(BaseModel):
    """`content` is a string, or the texts of its parts in order."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[str] = ""
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("a message must be an object")
        for key in LATER:
            if data.get(key):
                raise ValueError(f"{key} is not supported yet")
        if "content" in data and data["content"] is None and data.get("role") != "assistant":
            raise ValueError("content must not be null")
        return {k: v for k, v in data.items() if v is not None and k not in LATER}

    @field_validator(
        "content", mode="before", json_schema_input_type=str | list[str | dict[str, Any]] | None
    )
    @classmethod
    def _texts_of_parts(cls, content: Any) -> Any:
        return [text_of_part(part) for part in content] if isinstance(content, list) else content

    @property
    def text(self) -> str:
        """Of the content, as templates read it that take one string."""
        return self.content if isinstance(self.content, str) else "\n".join(self.content)

    @property
    def length(self) -> int:
        """Of the content, in characters."""
        return len(self.content) if isinstance(self.content, str) else sum(map(len, self.content))

    def unknown_keys(self) -> list[str]:
        return list(self.model_extra or {})


def text_of_part(part: Any) -> str:
    """Raises ValueError for anything that is not text."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise ValueError("a content part must be an object or a string")
    kind = part.get("type")
    name = kind if kind is not None else next(iter(part), "")
    if not isinstance(name, str):
        raise ValueError("the type of a content part must be a string")
    if any(word in name for word in MEDIA_WORDS):
        raise ValueError(f"a part of type {name!r} was sent, but this is not a multimodal model")
    if name not in TEXT_KEYS:
        raise ValueError(f"{name!r} is not a type of content part")
    text = part.get(TEXT_KEYS[name])
    if not isinstance(text, str):
        raise ValueError(f"a part of type {name!r} needs the string {TEXT_KEYS[name]!r}")
    return text
