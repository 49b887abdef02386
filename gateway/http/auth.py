"""API keys: who may ask, and whose cached prefixes are whose."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import RETRY_SOON, ErrorReply
from gateway.http.replies import error_reply
from gateway.root_path import path_of
from gateway.tenants.roster import Roster
from gateway.tenants.tenant import NOBODY
from gateway.tenants.visit import Desk, Visit
from gateway.translations.messages_error import is_anthropic

# Whatever is not named here needs a key, so that a new route is never open by oversight.
OPEN = frozenset({"/health", "/ping", "/version", "/metrics", "/docs", "/openapi.json"})
CHALLENGE = {"WWW-Authenticate": "Bearer"}
MISSING = ErrorReply(
    401,
    "AuthenticationError",
    "This server wants an API key: send the header `Authorization: Bearer KEY`.",
)
UNREAD = ErrorReply(
    503,
    "ServiceUnavailableError",
    "Nobody's API key is known here yet: the tenants in Redis cannot be read.",
    retry_after=RETRY_SOON,
)
WRONG = ErrorReply(401, "AuthenticationError", "This API key is not known here.")


class Authentication:
    """ASGI middleware. Leaves the visit of the tenant in the request's state, and ends it."""

    def __init__(
        self, app: ASGIApp, roster: Roster, desk: Desk, pages: frozenset[str] = frozenset()
    ) -> None:
        """`pages`: paths that need no key, beside those of `OPEN`."""
        self._app = app
        self._open = OPEN | pages
        self._roster = roster
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = NOBODY
        if self._roster and not self._lets_in(scope):
            key = _key_of(scope)
            found = self._roster.find(key) if key else None
            if found is None:
                await self._refusal(key, scope)(scope, receive, send)
                return
            known = found
        visit = self._desk.visit(known)

        async def send_with_limits(message: Message) -> None:
            if visit.headers and message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(visit.headers)
            await send(message)

        scope.setdefault("state", {})["visit"] = visit
        try:
            await self._app(scope, receive, send_with_limits)
        finally:
            visit.end()

    def _lets_in(self, scope: Scope) -> bool:
        return scope["method"] == "OPTIONS" or path_of(scope) in self._open

    def _refusal(self, key: bytes, scope: Scope) -> ASGIApp:
        if key and self._roster.trouble is not None:
            return error_reply(UNREAD, scope)
        return error_reply(WRONG if key else MISSING, scope, CHALLENGE)


def visit_of(request: Request) -> Visit:
    visit: Visit = request.state.visit
    return visit


def tenant_of(request: Request) -> str:
    """What the hashes of the request's blocks begin with, "" where no keys are asked for. Requests
    that differ in it share no cached prefix.
    """
    return visit_of(request).root


def _key_of(scope: Scope) -> bytes:
    """Anthropic's clients send theirs in a header of its own."""
    headers = Headers(scope=scope)
    key = bearer_of(headers.get("authorization", "").encode("latin-1"))
    if not key and is_anthropic(path_of(scope)):
        return headers.get("x-api-key", "").strip().encode("latin-1")
    return key


def bearer_of(header: bytes) -> bytes:
    """Empty for any other scheme."""
    scheme, _, key = header.partition(b" ")
    return key.strip(b" ") if scheme.lower() == b"bearer" else b""
