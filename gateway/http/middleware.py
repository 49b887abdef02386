"""ASGI middleware of the operator's own: --middleware."""

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp

from baton.core.errors import SettingsError


def with_middleware(app: ASGIApp, names: Sequence[str]) -> ASGIApp:
    """The first that is named meets a request first. Each is the full name of a class that takes the
    application, or of an async function of a request and what calls the rest. Raises SettingsError.
    """
    for name in reversed(names):
        app = _wrapped(app, name)
    return app


def _wrapped(app: ASGIApp, name: str) -> ASGIApp:
    found = _named(name)
    is_class = inspect.isclass(found)
    if is_class:
        try:
            wrapped: ASGIApp = found(app)
        except TypeError as error:
            raise SettingsError(f"--middleware {name}: {error}") from error
        return wrapped
    if inspect.iscoroutinefunction(found):
        return BaseHTTPMiddleware(app, dispatch=found)
    raise SettingsError(f"--middleware {name} is neither a class nor an async function")


def _named(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"--middleware {name}: {error}") from error
