"""Images in a prompt: where their tokens stand, what names their content, how positions count there.

Each image stands in the prompt as one placeholder token per cell of its grid, row after row. The
token ids say nothing of what is seen, so whoever names blocks adds the digests.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """`rows` x `columns` tokens from index `start` of the prompt on."""

    start: int
    rows: int
    columns: int
    digest: bytes  # SHA-256 of the file and of how it is processed

    @property
    def num_tokens(self) -> int:
        return self.rows * self.columns

    @property
    def end(self) -> int:
        return self.start + self.num_tokens

    @property
    def extent(self) -> int:
        """By how much positions have grown behind it: the longer side."""
        return max(self.rows, self.columns)


@dataclass(frozen=True, slots=True)
class PromptImage:
    """`data` is the file as it came; empty for whoever gets the KV from elsewhere."""

    span: ImageSpan
    data: bytes = field(default=b"", repr=False)
    processing: str = (
        ""  # JSON object of what the request tells the image processor; empty: nothing
    )


def image_digest(data: bytes, processing: str) -> bytes:
    """Equal for equal files that are processed alike."""
    told = processing.encode()
    return hashlib.sha256(struct.pack("<Q", len(told)) + told + data).digest()


def spans_of(images: Iterable[PromptImage]) -> tuple[ImageSpan, ...]:
    return tuple(image.span for image in images)


def block_salts(images: Iterable[ImageSpan], block: int) -> dict[int, bytes]:
    """What the names of hash blocks cover beside their tokens: of each block of `block` tokens that
    holds some of an image, the digests of all that it holds some of, in order.
    """
    salts: dict[int, bytes] = {}
    for image in images:
        for index in range(image.start // block, (image.end - 1) // block + 1):
            salts[index] = salts.get(index, b"") + image.digest
    return salts


def rope_positions(images: Sequence[ImageSpan], start: int, count: int) -> list[list[int]]:
    """Of the tokens from index `start` on: time, height and width, three rows of `count` numbers.

    Text counts on by one in all three. An image stands at one time; its rows and columns count from
    there, and the text behind it goes on from the largest number that it used.
    """
    time: list[int] = []
    height: list[int] = []
    width: list[int] = []
    at, end, shift = start, start + count, 0  # a text token's position is its index + shift
    for image in images:
        text = range(at + shift, min(end, image.start) + shift)
        for row in (time, height, width):
            row += text
        at = max(at, min(end, image.start))
        base = image.start + shift
        for cell in range(at - image.start, min(end, image.end) - image.start):
            down, across = divmod(cell, image.columns)
            time.append(base)
            height.append(base + down)
            width.append(base + across)
        at = max(at, min(end, image.end))
        shift += image.extent - image.num_tokens
    for row in (time, height, width):
        row += range(at + shift, end + shift)
    return [time, height, width]
