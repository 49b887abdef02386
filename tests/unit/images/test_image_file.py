"""Which files are images, how large they are seen, and what is wrong with the others."""

import io
import struct
import zlib

import pytest
from PIL import Image

from baton.images.errors import ImageError
from baton.images.image_file import decode, read_header
from baton.images.limits import MOST_PIXELS
from tests.support.images import image_file


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF"])
def test_the_header_says_type_and_size(format: str) -> None:
    header = read_header(image_file(31, 17, format=format), MOST_PIXELS)

    assert (header.mime, header.width, header.height) == (f"image/{format.lower()}", 31, 17)
    assert decode(image_file(31, 17, format=format), MOST_PIXELS).size == (31, 17)


def test_a_photo_is_seen_as_the_camera_was_held() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = image_file(31, 17, format="JPEG", exif=exif)

    header = read_header(photo, MOST_PIXELS)
    assert (header.width, header.height) == (17, 31) == decode(photo, MOST_PIXELS).size


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "1", "LA", "CMYK", "I;16"])
def test_any_kind_of_pixel_becomes_rgb(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (9, 5)).save(file, "JPEG" if mode == "CMYK" else "PNG")

    assert decode(file.getvalue(), MOST_PIXELS).mode == "RGB"


def chunk(name: bytes, data: bytes) -> bytes:
    checked = name + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def png_of(width: int, height: int) -> bytes:
    """Its header only: nobody has to make the pixels that it claims to have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


@pytest.mark.parametrize("side", [10_001, 20_000, 2**31 - 1])
def test_a_decompression_bomb_is_told_by_its_header(side: int) -> None:
    with pytest.raises(ImageError, match="pixels"):
        read_header(png_of(side, side), MOST_PIXELS)
    with pytest.raises(ImageError, match="pixels"):
        decode(png_of(side, side), MOST_PIXELS)


def test_a_smaller_bound_is_kept_too() -> None:
    with pytest.raises(ImageError, match="31 x 17 pixels; at most 500"):
        read_header(image_file(31, 17), 500)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_truncated_file_is_damaged(format: str) -> None:
    whole = image_file(64, 64, format=format)
    for share in (2, 3, 5):
        with pytest.raises(ImageError, match="damaged"):
            decode(whole[: len(whole) * (share - 1) // share], MOST_PIXELS)


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"<svg/>", b"BM" + bytes(100), bytes(50)])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="no JPEG, PNG, WebP or GIF"):
        read_header(data, MOST_PIXELS)


def test_no_other_format_of_pillow_is_ever_decoded() -> None:
    for format in ("TIFF", "BMP", "PPM", "ICO"):
        with pytest.raises(ImageError, match="no JPEG"):
            read_header(image_file(16, 16, format=format), MOST_PIXELS)
