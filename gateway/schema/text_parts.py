"""Lists of parts in the APIs beside chat: of text, and in some places of images too."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, model_validator

from gateway.schema.image_part import ImagePart

Texts = str | list[str]
Parts = str | list[str | ImagePart]
WrittenTexts = str | list[str | dict[str, Any]]  # as clients write it


def texts_of(content: Any, keys: Mapping[str, str]) -> Any:
    """A list's texts; what is no list is left as it is. `keys`: type of a part -> the key that
    holds its text. Raises ValueError for anything that is not text.
    """
    return [_text_of(part, keys) for part in content] if isinstance(content, list) else content


def parts_of(
    content: Any,
    keys: Mapping[str, str],
    kind: str,
    image_of: Callable[[dict[str, Any]], ImagePart],
) -> Any:
    """The same where parts of type `kind` are images, which `image_of` reads. Raises ValueError."""
    if not isinstance(content, list):
        return content
    return [
        image_of(part)
        if isinstance(part, dict) and part.get("type") == kind
        else _text_of(part, keys, kind)
        for part in content
    ]


def _text_of(part: Any, keys: Mapping[str, str], *others: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        raise ValueError("a part must be an object with a type")
    if kind not in keys:
        raise ValueError(
            f"a part of type {kind!r} is not supported, only {', '.join((*keys, *others))}"
        )
    text = part.get(keys[kind])
    if not isinstance(text, str):
        raise ValueError(f"a part of type {kind!r} needs the string {keys[kind]!r}")
    return text


class NullIsOmitted(BaseModel):
    """None means: not said."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_omitted(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data
