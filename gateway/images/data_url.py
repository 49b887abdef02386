"""data: URLs (RFC 2397), of which only base64 ones are files."""

import base64
import binascii
import re

from baton.images.errors import ImageError

_HEAD = re.compile(
    r"data:(?P<mime>[\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[\w.-]+)*;base64,", re.ASCII | re.I
)


def decode_data_url(url: str, most_bytes: int) -> tuple[str, bytes]:
    """The declared MIME type, in lower case, empty if there is none, and the file. Raises ImageError."""
    head = _HEAD.match(url[:200])
    if head is None:
        raise ImageError("its data: URL must be data:image/TYPE;base64,...")
    if (len(url) - head.end()) * 3 // 4 > most_bytes + 2:
        raise ImageError(f"it is larger than {most_bytes} bytes")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"its data: URL is not base64 ({error})") from error
    return (head["mime"] or "").lower(), data
