"""A part of a message that is an image."""

from typing import Any

from pydantic import BaseModel, field_serializer

IMAGE_KINDS = ("image_url", "input_image")  # both have it under the key image_url
SHOWN = 100  # characters of a URL in a log


class ImagePart(BaseModel):
    """`url` is a data: URL, or one to fetch. What is at it is not looked at yet."""

    url: str

    @field_serializer("url")
    def _shortened(self, url: str) -> str:
        """Dumps are for logs: nobody reads megabytes of base64."""
        return url if len(url) <= SHOWN else f"{url[:SHOWN]}... ({len(url)} characters)"


def chat_part(image: ImagePart) -> dict[str, Any]:
    """As a chat has it."""
    return {"type": "image_url", "image_url": {"url": image.url}}


def image_of_part(part: dict[str, Any], kind: str) -> ImagePart:
    """Raises ValueError."""
    said = part.get("image_url")
    url = said.get("url") if isinstance(said, dict) else said
    if not isinstance(url, str) or not url:
        raise ValueError(f"a part of type {kind!r} needs the string 'url' in its 'image_url'")
    return ImagePart(url=url)
