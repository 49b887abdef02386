"""Which web pages may call the API from a browser."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.http.cors_settings import CorsSettings
from gateway.http.request_scope import HEADER

_SHOWN = (HEADER, "retry-after", "x-baton-ignored")  # a page sees no other header of an answer


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
