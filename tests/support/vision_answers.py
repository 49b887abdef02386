"""The prompt of an answer with images, as Hugging Face's model is asked it."""

from collections.abc import Sequence
from typing import Any

from baton.core.prompt_images import ImageSpan, PromptImage, image_digest
from tests.support.images import ImagePrompt
from tests.support.models import IMAGE_PAD


def read_back(answer: dict[str, Any], files: Sequence[bytes]) -> ImagePrompt:
    """The prompt that the gateway says it made, with the images where it put them."""
    ids = tuple(answer["prompt_token_ids"])
    images: list[PromptImage] = []
    at = 0
    for file in files:
        start = ids.index(IMAGE_PAD, at)
        at = next(i for i in range(start, len(ids)) if ids[i] != IMAGE_PAD)
        images.append(PromptImage(ImageSpan(start, 1, at - start, image_digest(file, "")), file))
    return ImagePrompt(ids, tuple(images))
