"""The least that a gateway could do: read a worker's stream, write JSON events, in an ASGI server.

It knows one worker and one kind of request, and checks, detokenises and remembers nothing.
`python -m benchmarks.pump --worker 127.0.0.1:9001 --port 8001` answers POST /v1/completions.
"""

import asyncio
import contextlib
import json
from typing import Any

import click
import uvicorn
from starlette.types import Receive, Scope, Send

from baton.core.handoff import new_id
from baton.core.sampling_params import SamplingParams
from baton.rpc import wire
from baton.rpc.channel import open_channel
from baton.v1 import decode_pb2, decode_pb2_grpc
from gateway.__main__ import LOOP_FACTORY
from gateway.http.head_limits import HeadLimits
from gateway.http.http_protocol import protocol_with


class Pump:
    """An ASGI application."""

    def __init__(self, worker: str) -> None:
        self._stub: decode_pb2_grpc.DecodeServiceAsyncStub = decode_pb2_grpc.DecodeServiceStub(
            open_channel(worker)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = json.loads(await _body(receive))
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        count = 0
        async for message in self._stub.Generate(_request(asked)):
            for record in message.tokens.records:
                count += 1
                await _event(send, {"choices": [_choice(record.token_id)]})
        usage = {"prompt_tokens": len(asked["prompt"]), "completion_tokens": count}
        await _event(send, {"choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def _request(asked: dict[str, Any]) -> decode_pb2.GenerateRequest:
    params = SamplingParams(max_tokens=asked["max_tokens"], seed=0)
    return decode_pb2.GenerateRequest(
        request_id=new_id(),
        prompt_token_ids=asked["prompt"],
        sampling=wire.sampling_to_pb(params),
    )


def _choice(token_id: int) -> dict[str, object]:
    """As long as the gateway's."""
    return {
        "index": 0,
        "text": f" {token_id}",
        "logprobs": None,
        "finish_reason": None,
        "stop_reason": None,
        "prompt_token_ids": None,
        "token_ids": None,
    }


async def _event(send: Send, event: dict[str, object]) -> None:
    body = f"data: {json.dumps(event)}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _body(receive: Receive) -> bytes:
    parts = b""
    while True:
        message = await receive()
        parts += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return parts


@click.command()
@click.option("--worker", required=True, help="HOST:PORT of a decode worker.")
@click.option("--port", required=True, type=int)
@click.option("--log-level", hidden=True)
def main(worker: str, port: int, log_level: str) -> None:
    """In the gateway's own HTTP server and event loop, so that what differs is what a gateway does."""

    async def serve() -> None:
        config = uvicorn.Config(
            Pump(worker),
            port=port,
            http=protocol_with(HeadLimits()),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
        )
        await uvicorn.Server(config).serve()

    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=LOOP_FACTORY) as loop:
        loop.run(serve())


if __name__ == "__main__":
    main()
