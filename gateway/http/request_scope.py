"""Around every request: its id, its trace, its place in the metrics, and the last resort when its
handling fails.
"""

import logging
import time
from collections.abc import Container
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from baton.core.handoff import new_id
from baton.telemetry.request_context import RequestContext, begin_request
from gateway.errors import INTERNAL, ErrorReply
from gateway.http.replies import error_reply
from gateway.placing.placement_record import HEADER as PLACEMENT_HEADER
from gateway.root_path import path_of
from gateway.schema.routing_fields import LONGEST_ID
from gateway.telemetry.http_metrics import HttpMetrics
from gateway.telemetry.request_trace import MODEL, NAME, RequestTrace

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

HEADER = "x-request-id"
LONG_ID = ErrorReply(
    400, "BadRequestError", f"X-Request-Id is longer than {LONGEST_ID} characters.", "X-Request-Id"
)


class RequestScope:
    """ASGI middleware. The client's X-Request-Id, or that of its body, or a fresh one, goes back in
    every response.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: HttpMetrics,
        tracer: "Tracer | None" = None,
        traced: Container[str] = (),
        model: str = "",
    ) -> None:
        """`traced`: paths whose POSTs are answered by the model, the first of which clients
        call `model`.
        """
        self._app = app
        self._metrics = metrics
        self._tracer = tracer
        self._traced = traced
        self._model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get(HEADER, "")
        long = len(asked) > LONGEST_ID
        request_id = asked if asked and not long else new_id()
        state = scope.setdefault("state", {})
        state |= {"request_id": request_id, "request_id_given": request_id == asked}
        came = time.monotonic()
        trace = self._trace_of(scope, came)
        context = begin_request(request_id, "" if trace is None else trace.trace_id)
        state |= {"trace": trace, "context": context}
        status: int | None = None
        left = False

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = state["request_id"]
                record = state.get("placement")
                if record is not None and record.header is not None:
                    headers[PLACEMENT_HEADER] = record.header
                self._metrics.began(headers, state.get("model_name"))
            await send(message)

        try:
            app = error_reply(LONG_ID, scope) if long else self._app
            await app(scope, receive, send_with_id)
        except ClientDisconnect:
            logger.info("the client went away")
            left = True
        except Exception:  # the top of a request: the client must get an answer
            logger.exception("failed")
            if status is None:
                await error_reply(INTERNAL, scope)(scope, receive, send_with_id)
        finally:
            self._metrics.ended(scope, status, time.monotonic() - came)
            if trace is not None:
                trace.end(state["request_id"], status, left)

    def _trace_of(self, scope: Scope, came: float) -> RequestTrace | None:
        if self._tracer is None or scope["method"] != "POST" or path_of(scope) not in self._traced:
            return None
        root = self._tracer.begin(NAME, Headers(scope=scope), came)
        if root is None:
            return None
        told = {"http.request.method": "POST", "url.path": path_of(scope)}
        root.set(told | dict.fromkeys(MODEL, self._model))
        return RequestTrace(root, came)


def adopt_request_id(request: Request, request_id: str | None) -> None:
    """For the id that a body asks for; the header's wins."""
    if request_id is not None and not request.state.request_id_given:
        request.state.request_id = request_id
        context: RequestContext = request.state.context
        context.request_id = request_id


def adopt_model(request: Request, name: str) -> None:
    """The request is for the model that clients call so."""
    request.state.model_name = name
    if (trace := trace_of(request)) is not None:
        trace.serves(name)


def model_name_of(request: Request) -> str:
    """Empty before one was chosen."""
    return str(getattr(request.state, "model_name", ""))


def trace_of(request: Request) -> RequestTrace | None:
    """None: the request is not traced."""
    trace: RequestTrace | None = getattr(request.state, "trace", None)
    return trace


def request_id_of(request: Request) -> str:
    return str(request.state.request_id)
