"""How the framework calls our endpoints."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class Route(APIRoute):
    """An endpoint that wants nothing but the request is given it, with nothing in between; the
    framework would look for its parameters anew at every request, and keep stacks for what they
    open. All endpoints here return a response.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **told: Any) -> None:
        super().__init__(path, endpoint, **told)
        plain = [*inspect.signature(endpoint).parameters] == ["request"]
        self.app = _called(endpoint) if plain else AsyncExitStackMiddleware(self.app)


def _called(endpoint: Endpoint) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
