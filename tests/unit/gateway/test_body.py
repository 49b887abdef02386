"""Whether what is cut off of a body belongs to an image."""

import pytest

from gateway.http.body import ends_in_data_url


@pytest.mark.parametrize(
    ("body", "is_image"),
    [
        ('{"url": "data:image/png;base64,AAAA', True),
        ('{"a": "\\"", "url": "DATA:image/png;base64,AA', True),
        ('{"url": "data:image/png;base64,AAAA"', False),
        ('{"text": "data: AAAA", "text": "AA', False),
        ('{"text": "AAAA', False),
        ('{"url": "dat', False),
        ("data:image/png", False),
        ("", False),
    ],
)
def test_the_last_open_string_decides(body: str, is_image: bool) -> None:
    assert ends_in_data_url(bytearray(body.encode())) is is_image
