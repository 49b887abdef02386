"""A client with a tiny buffer that sends its request and reads nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx


@asynccontextmanager
async def not_reading(url: httpx.URL, path: str, body: dict[str, object]) -> AsyncIterator[None]:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (url.host, url.port))
        request = httpx.Request("POST", url.join(path), json=body)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        message = f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + request.content
        await loop.sock_sendall(client, message)
        yield
