"""How the framework calls our endpoints."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class Route(APIRoute):
    """An endpoint that wants nothing but the request is given it; the framework would look for its
    parameters anew at every request. All endpoints here return a response.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        if [*inspect.signature(self.endpoint).parameters] != ["request"]:
            return super().get_route_handler()
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            response: Response = await endpoint(request)
            return response

        return handle
