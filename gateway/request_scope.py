"""Around every request: its id, and the last resort when its handling fails."""

import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from baton.core.handoff import new_id
from gateway.errors import INTERNAL, ErrorReply
from gateway.replies import error_reply

logger = logging.getLogger(__name__)

HEADER = "x-request-id"
LONGEST_ID = 512  # characters; an id goes into every chunk of an answer
LONG_ID = ErrorReply(
    400, "BadRequestError", f"X-Request-Id is longer than {LONGEST_ID} characters.", "X-Request-Id"
)


class RequestScope:
    """ASGI middleware. The client's X-Request-Id, or a fresh one, goes back in every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get(HEADER, "")
        long = len(asked) > LONGEST_ID
        request_id = asked if asked and not long else new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            app = error_reply(LONG_ID, scope) if long else self._app
            await app(scope, receive, send_with_id)
        except ClientDisconnect:
            logger.info("%s: the client went away", request_id)
        except Exception:  # the top of a request: the client must get an answer
            logger.exception("%s: failed", request_id)
            if not started:
                await error_reply(INTERNAL, scope)(scope, receive, send_with_id)


def request_id_of(request: Request) -> str:
    return str(request.state.request_id)
