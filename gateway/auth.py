"""API keys: who may ask, and whose cached prefixes are whose."""

import hashlib
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import ErrorReply
from gateway.replies import error_reply
from gateway.root_path import path_of
from gateway.translations.messages_error import is_anthropic

# Whatever is not named here needs a key, so that a new route is never open by oversight.
OPEN = frozenset({"/health", "/ping", "/version", "/metrics", "/docs", "/openapi.json"})
CHALLENGE = {"WWW-Authenticate": "Bearer"}
MISSING = ErrorReply(
    401,
    "AuthenticationError",
    "This server wants an API key: send the header `Authorization: Bearer KEY`.",
)
WRONG = ErrorReply(401, "AuthenticationError", "This API key is not known here.")


class Keys:
    """The keys that the gateway was started with. Only their digests are kept."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys if key]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def tenant_of(self, key: bytes) -> str | None:
        """The key's SHA-256, hex; None for an unknown one. Takes as long for every key."""
        shown = _digest(key)
        known = False
        for digest in self._digests:
            known |= hmac.compare_digest(shown, digest)
        return shown if known else None


class Authentication:
    """ASGI middleware. Leaves the tenant in the request's state."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._keys or _is_open(scope):
            await self._app(scope, receive, send)
            return
        key = _key_of(scope)
        tenant = self._keys.tenant_of(key) if key else None
        if tenant is None:
            await error_reply(WRONG if key else MISSING, scope, CHALLENGE)(scope, receive, send)
            return
        scope.setdefault("state", {})["tenant"] = tenant
        await self._app(scope, receive, send)


def tenant_of(request: Request) -> str:
    """Digest of the key that the request came with, "" where no keys are asked for. Requests of
    different tenants share no cached prefix.
    """
    return str(getattr(request.state, "tenant", ""))


def _is_open(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" or path_of(scope) in OPEN


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


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()
