"""The operator's own middleware: named, loaded, wrapped in order."""

import sys

import httpx
import pytest
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from baton.core.errors import SettingsError
from gateway.http.middleware import with_middleware

HERE = __name__


class Outer:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["seen"] = "outer"
        await self.app(scope, receive, send)


async def inner(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["x-seen"] = f"{request.scope['seen']} inner"
    return response


async def test_the_first_that_is_named_meets_a_request_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "operators_own", sys.modules[HERE])
    app = with_middleware(Response("hi"), ["operators_own.Outer", "operators_own.inner"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get("/")
    assert (answer.text, answer.headers["x-seen"]) == ("hi", "outer inner")


@pytest.mark.parametrize(
    "name",
    ["", "nothing", "no.such.module", "json.nothing", "json.dumps", "builtins.object", ".x"],
)
def test_what_is_no_middleware_stops_the_start(name: str) -> None:
    with pytest.raises(SettingsError, match="--middleware"):
        with_middleware(Response("hi"), [name])
