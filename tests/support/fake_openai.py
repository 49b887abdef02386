"""A server that streams completions as told, to try clients on."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any


def answer(tokens: int, usage: int | None = None, done: bool = True) -> list[bytes]:
    """The events of a completion of so many tokens; `usage` where the server counts wrongly."""
    chunks: list[dict[str, Any]] = [{"choices": [{"text": "x", "index": 0}]}] * tokens
    chunks.append({"choices": [{"text": "", "finish_reason": "length"}]})
    counted = tokens if usage is None else usage
    chunks.append({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": counted}})
    events = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return [*events, b"data: [DONE]\n\n"] if done else events


@contextlib.asynccontextmanager
async def openai_server(
    events: list[bytes], status: int = 200, cut: bool = False, retry_after: int | None = None
) -> AsyncIterator[str]:
    """Its URL. `cut` closes the connection where the last chunk should be. `retry_after`, in
    seconds, goes with a status that is an error.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        sizes = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        await reader.readexactly(int(sizes[0].partition(":")[2]))
        if head.startswith("GET /v1/models"):
            writer.write(plain(200, b'{"data": [{"id": "tiny"}]}'))
        elif status != 200:
            told = "" if retry_after is None else f"Retry-After: {retry_after}\r\n"
            writer.write(plain(status, b'{"error": {"message": "no room"}}', told))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for event in events:
                writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
                await writer.drain()
            writer.write(b"" if cut else b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        await server.wait_closed()


def plain(status: int, body: bytes, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body
