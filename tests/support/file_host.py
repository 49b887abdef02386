"""A small HTTP server of files, for what fetches them; it remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class FileHost:
    """`answers` by path: whole HTTP answers, head and body. None: it stays silent for ever."""

    port: int = 0
    answers: dict[str, bytes | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # heads of requests
    sent: int = 0  # bytes that went out
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)

    def serve(self, path: str, body: bytes, *headers: str, status: str = "200 OK") -> str:
        """The file's URL."""
        head = "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *headers])
        self.answers[path] = f"{head}\r\n\r\n".encode() + body
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            self.was_asked.set()
            answer = self.answers.get(head.split()[1], b"HTTP/1.1 404 Not Found\r\n\r\n")
            if answer is None:
                await reader.read()  # until the client gives up
                return
            for at in range(0, len(answer), 1 << 16):
                writer.write(answer[at : at + (1 << 16)])
                await writer.drain()
                self.sent += 1 << 16
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def file_host() -> AsyncIterator[FileHost]:
    host = FileHost()
    server = await asyncio.start_server(host.answer, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    async with server:
        yield host
