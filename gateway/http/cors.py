"""Which web pages may call the API from a browser."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.errors import REASON_HEADER
from gateway.http.cors_settings import CorsSettings
from gateway.http.request_scope import HEADER
from gateway.placing.placement_record import HEADER as PLACEMENT_HEADER
from gateway.tenants.rate_headers import RATE_HEADERS

# A page sees no other header of an answer.
_SHOWN = (
    *(HEADER, "retry-after", REASON_HEADER, "x-baton-ignored", PLACEMENT_HEADER),
    *RATE_HEADERS,
)


def with_cors(app: ASGIApp, settings: CorsSettings) -> ASGIApp:
    """Answers preflights by itself and adds its headers to every answer, errors included."""
    return CORSMiddleware(
        app,
        allow_origins=settings.allowed_origins,
        allow_methods=settings.allowed_methods,
        allow_headers=settings.allowed_headers,
        allow_credentials=settings.allow_credentials,
        expose_headers=_SHOWN,
    )
