"""HTTP as far as a load client needs it: one request, a body read as it arrives.

Written on asyncio's streams so that the client costs little beside the server it measures.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import SplitResult, urlsplit

_LIMIT = 1 << 22  # longest line, bytes


class ServerError(Exception):
    """The server refused the request or broke off; the text is short enough to be counted by."""


@contextlib.asynccontextmanager
async def request(
    url: str, body: dict[str, Any] | None = None
) -> "AsyncIterator[AsyncIterator[bytes]]":
    """The answer's lines: POST with a JSON body, GET without. Raises ServerError unless 200."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise ServerError(f"{url} is not an http:// address")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=_LIMIT)
    try:
        writer.write(_head_and_body(parts, body))
        await writer.drain()
        status, chunked = await _read_head(reader)
        pieces = _chunks(reader) if chunked else _rest(reader)
        if status != 200:
            raise ServerError(_reason(status, b"".join([piece async for piece in pieces])))
        yield _lines(pieces)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def events(lines: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Server-sent events up to [DONE]. Raises ServerError when the stream ends before."""
    async for line in lines:
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            return
        event: dict[str, Any] = json.loads(data)
        if "error" in event:
            raise ServerError(f"error in the stream: {_message(event)}")
        yield event
    raise ServerError("the stream ended without [DONE]")


def _head_and_body(parts: SplitResult, body: dict[str, Any] | None) -> bytes:
    payload = b"" if body is None else json.dumps(body).encode()
    head = [
        f"{'GET' if body is None else 'POST'} {parts.path or '/'} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(payload)}",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + payload


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status, and whether the body comes in chunks."""
    words = (await reader.readline()).split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise ServerError("the server closed the connection without an answer")
    chunked = False
    while (line := (await reader.readline()).strip().lower()) != b"":
        chunked |= line.startswith(b"transfer-encoding:") and b"chunked" in line
    return int(words[1]), chunked


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := await _chunk_size(reader):
        try:
            yield (await reader.readexactly(size + 2))[:-2]
        except asyncio.IncompleteReadError:
            raise ServerError("the connection broke in the answer") from None


async def _chunk_size(reader: asyncio.StreamReader) -> int:
    line = await reader.readline()
    if not line:
        raise ServerError("the connection broke in the answer")
    return int(line.partition(b";")[0], 16)


async def _rest(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await reader.read(1 << 16):
        yield piece


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
    if rest:
        yield rest


def _reason(status: int, body: bytes) -> str:
    try:
        return f"{status}: {_message(json.loads(body))}"
    except ValueError:
        return str(status)


def _message(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("message") if isinstance(error, dict) else error)[:200]
