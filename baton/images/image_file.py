"""An image's file: what its header says, and its pixels. By pillow, the extra `vision`."""

import io
import struct
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps

from baton.images.errors import ImageError

FORMATS = {  # pillow's name -> MIME type; no other decoder is ever run on what a client sent
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
}
_ORIENTATION = 0x0112  # EXIF tag; from 5 on, width and height are changed for each other
_TURNED_FROM = 5

# What pillow's decoders raise on a damaged file.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Width and height in pixels, as the image is seen: turned as a camera said."""

    mime: str
    width: int
    height: int


def read_header(data: bytes, most_pixels: int) -> ImageHeader:
    """Decodes nothing. Raises ImageError for what is no image or has more than `most_pixels`."""
    try:
        image = _opened(data, most_pixels)
        width, height = image.size
        if _is_turned(image):
            width, height = height, width
        return ImageHeader(FORMATS[str(image.format)], width, height)
    except ImageError:
        raise
    except _DAMAGE as error:
        raise ImageError("it is damaged, or no JPEG, PNG, WebP or GIF file") from error


def decode(data: bytes, most_pixels: int) -> Image.Image:
    """In RGB; of several frames the first. Raises ImageError."""
    try:
        image = _opened(data, most_pixels)
        image.load()
        if image.format == "JPEG":
            image = ImageOps.exif_transpose(image)
        pixels: Image.Image = image.convert("RGB")
        return pixels
    except ImageError:
        raise
    except _DAMAGE as error:
        raise ImageError(f"its file is damaged ({error})") from error


def _opened(data: bytes, most_pixels: int) -> Any:
    try:
        image = Image.open(io.BytesIO(data), formats=list(FORMATS))
    except _BOMBS as error:
        raise ImageError(f"it has more than {most_pixels} pixels") from error
    width, height = image.size
    if width * height > most_pixels:
        raise ImageError(f"it has {width} x {height} pixels; at most {most_pixels} are read")
    if not width or not height:
        raise ImageError("it has no pixels")
    return image


def _is_turned(image: Any) -> bool:
    """Of a JPEG alone: other files may have it behind the pixels."""
    if image.format != "JPEG":
        return False
    return int(image.getexif().get(_ORIENTATION, 1)) >= _TURNED_FROM
