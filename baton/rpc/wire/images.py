"""A prompt's images."""

from collections.abc import Iterable

from baton.core.prompt_images import ImageSpan, PromptImage
from baton.v1 import types_pb2


def images_to_pb(images: Iterable[PromptImage], *, with_data: bool) -> list[types_pb2.PromptImage]:
    return [
        types_pb2.PromptImage(
            start=image.span.start,
            rows=image.span.rows,
            columns=image.span.columns,
            digest=image.span.digest,
            data=image.data if with_data else b"",
            processing=image.processing,
        )
        for image in images
    ]


def images_from_pb(messages: Iterable[types_pb2.PromptImage]) -> tuple[PromptImage, ...]:
    return tuple(
        PromptImage(
            ImageSpan(message.start, message.rows, message.columns, message.digest),
            message.data,
            message.processing,
        )
        for message in messages
    )
