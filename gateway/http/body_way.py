"""A shorter way for the pieces of an answer whose head is out."""

from starlette.types import ASGIApp, Receive, Scope, Send

_KEY = "body_way"


class BodyWay:
    """ASGI middleware around those that look at the head of an answer alone, the framework's own
    among them: each hands every event of a stream on to the next one, which is a good part of what
    an event costs. Whoever wraps this meets them all.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})[_KEY] = send
        await self._app(scope, receive, send)


def body_way(scope: Scope, send: Send) -> Send:
    """For the body, behind a head that went by `send`; the same where there is no shorter one."""
    way: Send = scope.get("state", {}).get(_KEY, send)
    return way
