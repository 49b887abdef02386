"""How much of images a request may have."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageBounds:
    """Of one request, but for the pixels, which each image may have."""

    images: int
    bytes: int
    pixels: int
