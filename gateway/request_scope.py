"""Around every request: its id, its place in the metrics, the last resort when its handling fails."""

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from baton.core.handoff import new_id
from gateway.errors import INTERNAL, ErrorReply
from gateway.http_metrics import HttpMetrics
from gateway.placement_record import HEADER as PLACEMENT_HEADER
from gateway.replies import error_reply
from gateway.schema.routing_fields import LONGEST_ID

logger = logging.getLogger(__name__)

HEADER = "x-request-id"
LONG_ID = ErrorReply(
    400, "BadRequestError", f"X-Request-Id is longer than {LONGEST_ID} characters.", "X-Request-Id"
)


class RequestScope:
    """ASGI middleware. The client's X-Request-Id, or that of its body, or a fresh one, goes back in
    every response.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get(HEADER, "")
        long = len(asked) > LONGEST_ID
        request_id = asked if asked and not long else new_id()
        state = scope.setdefault("state", {})
        state |= {"request_id": request_id, "request_id_given": request_id == asked}
        status: int | None = None
        came = time.monotonic()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = state["request_id"]
                record = state.get("placement")
                if record is not None and record.header is not None:
                    headers[PLACEMENT_HEADER] = record.header
                self._metrics.began(headers)
            await send(message)

        try:
            app = error_reply(LONG_ID, scope) if long else self._app
            await app(scope, receive, send_with_id)
        except ClientDisconnect:
            logger.info("%s: the client went away", state["request_id"])
        except Exception:  # the top of a request: the client must get an answer
            logger.exception("%s: failed", state["request_id"])
            if status is None:
                await error_reply(INTERNAL, scope)(scope, receive, send_with_id)
        finally:
            self._metrics.ended(scope, status, time.monotonic() - came)


def adopt_request_id(request: Request, request_id: str | None) -> None:
    """For the id that a body asks for; the header's wins."""
    if request_id is not None and not request.state.request_id_given:
        request.state.request_id = request_id


def request_id_of(request: Request) -> str:
    return str(request.state.request_id)
