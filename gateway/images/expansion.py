"""A rendered prompt has one placeholder per image; the model reads one per token of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from baton.core.errors import RequestError
from baton.core.prompt_images import ImageSpan, PromptImage


@dataclass(frozen=True, slots=True)
class SizedImage:
    """A file that is an image, and the tokens that it becomes."""

    data: bytes = field(repr=False)
    digest: bytes
    rows: int
    columns: int
    processing: str = ""

    @property
    def num_tokens(self) -> int:
        return self.rows * self.columns


def expanded_length(ids: Sequence[int], images: Sequence[SizedImage]) -> int:
    return len(ids) + sum(image.num_tokens - 1 for image in images)


def expand(
    ids: Sequence[int], placeholder: int, images: Sequence[SizedImage]
) -> tuple[list[int], tuple[PromptImage, ...]]:
    """Raises RequestError where the prompt has another number of placeholders than of images."""
    found = ids.count(placeholder)
    if found != len(images):
        raise RequestError(
            f"the chat template made {found} places for {len(images)} images; texts must not have "
            "the model's own mark of an image",
            "messages",
        )
    tokens: list[int] = []
    placed: list[PromptImage] = []
    for token in ids:
        if token != placeholder:
            tokens.append(token)
            continue
        image = images[len(placed)]
        span = ImageSpan(len(tokens), image.rows, image.columns, image.digest)
        placed.append(PromptImage(span, image.data, image.processing))
        tokens += [placeholder] * image.num_tokens
    return tokens, tuple(placed)
