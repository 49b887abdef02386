"""The HTTP application: routes, and errors as one object everywhere."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from baton.core.errors import BatonError
from gateway.endpoints.chat import ChatEndpoint
from gateway.endpoints.completions import CompletionEndpoint
from gateway.endpoints.messages import MessagesEndpoint
from gateway.endpoints.models import ModelsEndpoint
from gateway.endpoints.operations import OperationsEndpoint
from gateway.endpoints.placements import PlacementsEndpoint
from gateway.endpoints.responses import ResponsesEndpoint
from gateway.endpoints.status_page import StatusPageEndpoint
from gateway.endpoints.tokenization import TokenizationEndpoint
from gateway.errors import INTERNAL, reply_to, reply_to_status
from gateway.http.application import Application
from gateway.http.auth import Authentication
from gateway.http.body_way import BodyWay
from gateway.http.cors import with_cors
from gateway.http.middleware import with_middleware
from gateway.http.openapi import describe
from gateway.http.replies import error_reply
from gateway.http.request_scope import RequestScope
from gateway.http.route import Route
from gateway.root_path import RootPath
from gateway.settings import GatewaySettings
from gateway.telemetry.http_metrics import HttpMetrics
from gateway.tenants.roster import Roster
from gateway.tenants.visit import Desk
from gateway.translations.messages_error import COUNT_PATH, PATH
from gateway.ui import assets

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES = "/v1/responses"
PLACEMENT = "/v1/requests/{request_id}/placement"


def make_app(
    chat: ChatEndpoint,
    completions: CompletionEndpoint,
    responses: ResponsesEndpoint,
    messages: MessagesEndpoint,
    models: ModelsEndpoint,
    tokenization: TokenizationEndpoint,
    operations: OperationsEndpoint,
    placements: PlacementsEndpoint,
    status_page: StatusPageEndpoint | None,
    docs: bool = True,
    tokenizer_info: bool = False,
) -> Application:
    app = Application(
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        docs_url="/docs" if docs else None,
        openapi_url="/openapi.json" if docs else None,
        # Its own, of newer versions, which looks for providers at every request: we have ours.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.route_class = Route
    routes: list[tuple[str, str, Callable[..., Any], str]] = [
        ("POST", CHAT, chat.__call__, "Answer a chat"),
        ("POST", COMPLETIONS, completions.__call__, "Continue a prompt"),
        ("POST", RESPONSES, responses.create, "Answer in OpenAI's Responses API"),
        ("GET", f"{RESPONSES}/{{response_id}}", responses.get, "Read a stored response"),
        ("DELETE", f"{RESPONSES}/{{response_id}}", responses.delete, "Forget a stored response"),
        ("POST", f"{RESPONSES}/{{response_id}}/cancel", responses.cancel, "Stop a response"),
        ("POST", PATH, messages.create, "Answer in Anthropic's Messages API"),
        ("POST", COUNT_PATH, messages.count_tokens, "Count the tokens of a prompt"),
        ("GET", PLACEMENT, placements.one, "Explain where a request went, and why"),
        ("GET", "/v1/models", models.list, "List the models"),
        ("GET", "/v1/models/{name:path}", models.one, "Describe a model"),
        ("POST", "/tokenize", tokenization.tokenize, "Turn text into tokens"),
        ("POST", "/detokenize", tokenization.detokenize, "Turn tokens into text"),
        ("GET", "/ping", operations.health, "The same as /health"),
        ("POST", "/ping", operations.health, "The same as /health"),
        ("GET", "/load", operations.load, "Count the requests that are being answered"),
        ("GET", "/version", operations.version, "Tell the version"),
        ("GET", "/health", operations.health, "Tell whether requests can be answered"),
        ("GET", "/metrics", operations.metrics, "Count for Prometheus"),
        ("GET", "/status", operations.status, "List the workers"),
    ]
    if tokenizer_info:
        routes.append(("GET", "/tokenizer_info", tokenization.info, "Describe the tokenizer"))
    if status_page is not None:
        routes.append(("GET", assets.STATE, status_page.state, "Tell what /ui shows"))
        routes.append(("GET", assets.EVENTS, status_page.events, "Tell it as it changes"))
    for method, path, endpoint, summary in routes:
        app.add_api_route(path, endpoint, methods=[method], summary=summary)
    if status_page is not None:
        app.add_api_route(assets.PATH, status_page.page, include_in_schema=False)
        app.add_api_route(assets.PATH + "/{name}", status_page.file, include_in_schema=False)
    describe(app)
    app.add_exception_handler(BatonError, _named_error)
    app.add_exception_handler(HTTPException, _http_error)
    return app


def guarded(
    app: ASGIApp,
    settings: GatewaySettings,
    roster: Roster,
    desk: Desk,
    metrics: HttpMetrics,
    tracer: "Tracer | None" = None,
) -> ASGIApp:
    """The application as clients meet it. From the outside in: the proxy's prefix, the operator's
    own middleware, the shorter way for bodies, CORS (so that a browser may read errors too), the
    request's id, the key.
    """
    inner = Authentication(app, roster, desk, assets.OPEN_PATHS)
    traced = frozenset({CHAT, COMPLETIONS, RESPONSES, PATH})
    scope = RequestScope(inner, metrics, tracer, traced, settings.served_names[0])
    whole = BodyWay(with_cors(scope, settings.cors))
    return RootPath(with_middleware(whole, settings.middleware), settings.root_path)


async def _named_error(request: Request, error: Exception) -> Response:
    reply = reply_to(error) if isinstance(error, BatonError) else INTERNAL
    return error_reply(reply, request.scope)


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown path, wrong method and the like."""
    if not isinstance(error, HTTPException):
        return error_reply(INTERNAL, request.scope)
    headers = dict(error.headers) if error.headers else None
    reply = reply_to_status(error.status_code, str(error.detail))
    return error_reply(reply, request.scope, headers)
