"""HTTP as far as a load client needs it: one request, a body read as it arrives.

Written on asyncio's streams so that the client costs little beside the server it measures.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from baton.cluster.api_client import ApiClient
from baton.core.errors import UnavailableError

_LIMIT = 1 << 22  # longest line, bytes


class ServerError(UnavailableError):
    """The server refused the request or broke off; the text is short enough to be counted by."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`lines` are read once, while the request is open."""

    status: int
    headers: Mapping[str, str]  # by name in lower case
    lines: AsyncIterator[bytes]

    async def reason(self) -> str:
        """Of an answer that is an error; reads all of it."""
        body = b"\n".join([line async for line in self.lines])
        try:
            return f"{self.status}: {_message(json.loads(body))}"
        except ValueError:
            return str(self.status)


@contextlib.asynccontextmanager
async def asked(
    target: ApiClient,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Answer]:
    """One request over a connection of its own. Raises ServerError, OSError or SettingsError."""
    reader, writer = await _connected(target)
    try:
        writer.write(_head(target, method, path, body, headers or {}) + (body or b""))
        await writer.drain()
        status, said = await _read_head(reader)
        chunked = "chunked" in said.get("transfer-encoding", "")
        yield Answer(status, said, _lines(_chunks(reader) if chunked else _rest(reader)))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def request(
    url: str, body: dict[str, Any] | None = None
) -> "AsyncIterator[AsyncIterator[bytes]]":
    """The answer's lines: POST with a JSON body, GET without. Raises ServerError unless 200."""
    base, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    payload = None if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    async with asked(ApiClient(base + slashes + host), method, slash + path, payload) as answer:
        if answer.status != 200:
            raise ServerError(await answer.reason())
        yield answer.lines


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


async def _connected(target: ApiClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = target.parts()
    if parts.scheme == "unix":
        return await asyncio.open_unix_connection(parts.path, limit=_LIMIT)
    trust: ssl.SSLContext | None = target.trust() if parts.scheme == "https" else None
    port = parts.port or (443 if trust else 80)
    return await asyncio.open_connection(parts.hostname, port, limit=_LIMIT, ssl=trust)


def _head(
    target: ApiClient, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> bytes:
    parts = target.parts()
    unix = parts.scheme == "unix"
    prefix, host = ("", "localhost") if unix else (parts.path.rstrip("/"), parts.netloc)
    lines = [f"{method} {prefix}{path or '/'} HTTP/1.1", f"Host: {host}", "Connection: close"]
    if target.key:
        lines.append(f"Authorization: Bearer {target.key}")
    lines += ["Content-Type: application/json", f"Content-Length: {len(body or b'')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    words = (await reader.readline()).split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise ServerError("the server closed the connection without an answer")
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(words[1]), headers


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


def _message(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("message") if isinstance(error, dict) else error)[:200]
