"""A client of the HTTP API that shows what is on the wire."""

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx


@dataclass(frozen=True, slots=True)
class Completion:
    """One choice of a /v1/completions answer, streamed or not."""

    text: str
    token_ids: list[int]
    finish_reason: str


class Client:
    """`post` for anything; `complete` for token ids in, token ids out."""

    def __init__(self, url: str, uds: str | None = None) -> None:
        """`uds`: path of the socket that the gateway listens on; then the URL's host says nothing."""
        transport = httpx.AsyncHTTPTransport(uds=uds)
        self.http = httpx.AsyncClient(
            base_url=url, timeout=60, trust_env=False, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.aclose()

    async def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.http.post(path, json=body)

    async def complete(self, prompt: list[int], **fields: Any) -> list[Completion]:
        """By choice index. Raises HTTPStatusError for anything but 200."""
        body = {"prompt": prompt, "return_token_ids": True, **fields}
        response = await self.post("/v1/completions", body)
        response.raise_for_status()
        return [
            Completion(c["text"], c["token_ids"], c["finish_reason"])
            for c in response.json()["choices"]
        ]

    async def stream(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Every event before [DONE], parsed; the last line must be [DONE]."""
        lines: list[str] = []
        async with self.http.stream("POST", path, json={**body, "stream": True}) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line:
                    lines.append(line.removeprefix("data: "))
        assert lines[-1] == "[DONE]", lines
        return [json.loads(line) for line in lines[:-1]]

    async def complete_streaming(self, prompt: list[int], **fields: Any) -> list[Completion]:
        """What `complete` gives, put together from a stream."""
        body = {"prompt": prompt, "return_token_ids": True, **fields}
        pieces = [c for e in await self.stream("/v1/completions", body) for c in e["choices"]]
        return [
            _joined([piece for piece in pieces if piece["index"] == index])
            for index in sorted({piece["index"] for piece in pieces})
        ]

    async def workers(self) -> list[dict[str, Any]]:
        workers = (await self.http.get("/status")).json()["workers"]
        assert isinstance(workers, list)
        return workers


def _joined(pieces: list[dict[str, Any]]) -> Completion:
    reasons = [piece["finish_reason"] for piece in pieces if piece["finish_reason"]]
    assert len(reasons) == 1
    return Completion(
        "".join(piece["text"] for piece in pieces),
        [token for piece in pieces for token in piece["token_ids"] or ()],
        reasons[0],
    )
