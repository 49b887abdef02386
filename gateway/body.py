"""Reads a request's body: only JSON, only so many bytes, only while they keep coming."""

import asyncio

from fastapi import Request

from baton.core.errors import RequestError
from gateway.errors import BodyTooLargeError, BodyTooSlowError


async def json_body(request: Request, limit: int, stall: float) -> bytes:
    """`stall`: seconds that the client may send nothing."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError("Unsupported Media Type: only 'application/json' is allowed")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    chunks = request.stream()
    try:
        while True:
            async with asyncio.timeout(stall):
                body += await anext(chunks)
            if len(body) > limit:
                raise _too_large(limit)
    except StopAsyncIteration:
        return bytes(body)
    except TimeoutError as error:
        raise BodyTooSlowError(f"nothing of the body came for {stall:g} s") from error


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {limit} bytes")
