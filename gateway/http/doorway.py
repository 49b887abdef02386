"""Who is inside, and whether more may come in: what an orderly stop has to know."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import RETRY_SOON, NoRoomError, Reason, reply_to
from gateway.http.replies import error_reply
from gateway.root_path import path_of

CLOSED = reply_to(NoRoomError("This server is shutting down.", RETRY_SOON, Reason.SHUTTING_DOWN))
HEALTH = ("/health", "/ping")


class Crowd:
    """Counts who enters and leaves."""

    def __init__(self) -> None:
        self.inside = 0
        self.empty = asyncio.Event()
        self.empty.set()

    def __enter__(self) -> None:
        self.inside += 1
        self.empty.clear()

    def __exit__(self, *_: object) -> None:
        self.inside -= 1
        if not self.inside:
            self.empty.set()


class Doorway:
    """ASGI middleware. Once shut, it refuses requests for answers and says so to those who ask for
    the health; the pages for operators stay open.
    """

    def __init__(self, app: ASGIApp, crowd: "Crowd | None" = None) -> None:
        self._app = app
        self._open = True
        self._crowd = crowd or Crowd()

    @property
    def inside(self) -> int:
        """Requests for answers that have not had all of theirs."""
        return self._crowd.inside

    def shut(self) -> None:
        self._open = False

    async def until_empty(self) -> None:
        await self._crowd.empty.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] == "POST"
        if not self._open and (asks or _is_about_health(scope)):
            await error_reply(CLOSED, scope)(scope, receive, send)
        elif asks:
            with self._crowd:
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_about_health(scope: Scope) -> bool:
    return scope["type"] == "http" and path_of(scope) in HEALTH
