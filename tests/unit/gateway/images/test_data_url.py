"""data: URLs: which are files, and how large."""

import base64

import pytest

from baton.images.errors import ImageError
from gateway.images.data_url import decode_data_url


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        ("data:image/png;base64,", "image/png"),
        ("data:image/SVG+xml;charset=utf-8;base64,", "image/svg+xml"),
        ("DATA:image/jpeg;BASE64,", "image/jpeg"),
        ("data:;base64,", ""),
    ],
)
def test_type_and_file_come_out(head: str, mime: str) -> None:
    assert decode_data_url(head + base64.b64encode(b"any").decode(), 10) == (mime, b"any")


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png,raw",
        "data:base64,AAAA",
        "data:image/png;base64",
        "data:",
        "data:image/png;base64,A",
        "data:image/png;base64,AA AA",
        "data:image/png;base64,ÄÄÄÄ",
        "data:image/png;base64,AA-_",
    ],
)
def test_what_is_no_base64_file_is_refused(url: str) -> None:
    with pytest.raises(ImageError, match="data: URL"):
        decode_data_url(url, 1000)


def test_a_file_over_the_bound_is_refused_before_it_is_decoded() -> None:
    url = "data:image/png;base64," + "!" * 1000  # which is no base64 either

    with pytest.raises(ImageError, match="larger than 100 bytes"):
        decode_data_url(url, 100)


def test_a_file_of_just_the_bound_passes() -> None:
    url = "data:image/png;base64," + base64.b64encode(bytes(100)).decode()

    assert len(decode_data_url(url, 100)[1]) == 100
