"""Reads a request's body: only JSON, only so many bytes, only while they keep coming."""

import asyncio

from fastapi import Request

from baton.core.errors import RequestError
from gateway.errors import BodyTooLargeError, BodyTooSlowError


async def json_body(
    request: Request, limit: int, stall: float, *, image_field: str | None = None
) -> bytes:
    """`stall`: seconds that the client may send nothing. `image_field`: where images come; what is
    too large is then read as far as the limit, to say of an image that it is the image.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError("Unsupported Media Type: only 'application/json' is allowed")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit and image_field is None:
        raise _too_large(limit)
    body = bytearray()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(stall) as patience:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    if image_field is not None and ends_in_data_url(body):
                        raise _image_too_large(limit, image_field)
                    raise _too_large(limit)
                if chunk:  # behind the last there is an empty one, which nobody waits for
                    patience.reschedule(loop.time() + stall)
        return bytes(body)
    except TimeoutError as error:
        raise BodyTooSlowError(f"nothing of the body came for {stall:g} s") from error


def ends_in_data_url(body: bytearray) -> bool:
    """Whether what comes next belongs to one. Nothing in such a URL is escaped: the string that it is
    begins at the last quotation mark.
    """
    begins = body.rfind(b'"') + 1
    return begins > 0 and body[begins : begins + 5].lower() == b"data:"


def _image_too_large(limit: int, field: str) -> RequestError:
    return RequestError(
        f"an image is refused: with its data: URL the body is larger than {limit} bytes "
        "(--max-body-bytes)",
        field,
    )


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {limit} bytes")
