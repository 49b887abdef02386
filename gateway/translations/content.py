"""Parts of the APIs beside chat -> the content of a chat's message."""

from collections.abc import Sequence

from gateway.schema.image_part import ImagePart, chat_part


def content_of(parts: str | Sequence[str | ImagePart]) -> object:
    """A single text stays one, for templates that take nothing else."""
    if isinstance(parts, str):
        return parts
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    return [
        chat_part(part) if isinstance(part, ImagePart) else {"type": "text", "text": part}
        for part in parts
    ]
