"""Which request a task works for: every line that it logs says so.

A task that it starts works for the same one. Who is called from elsewhere, such as from a timer, names
the request itself: `logger.info(..., extra=about(request))`. What outlives a request is begun `apart`.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context, ContextVar
from dataclasses import dataclass
from logging import LogRecord
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class RequestContext:
    """`request_id`: at the gateway what the client calls it, on workers that and a suffix for the
    prompt, as there may be several.
    """

    request_id: str
    trace_id: str = ""  # 32 hex digits; empty: it is not traced


_current: ContextVar[RequestContext | None] = ContextVar("request", default=None)
_EXTRA = "request"


def begin_request(request_id: str, trace_id: str = "") -> RequestContext:
    """From here on the running task works for it, until it ends or says something else."""
    context = RequestContext(request_id, trace_id)
    _current.set(context)
    return context


def current_request() -> RequestContext | None:
    return _current.get()


def apart(work: Coroutine[Any, Any, T], name: str | None = None) -> "asyncio.Task[T]":
    """A task that works for no request, whoever starts it."""
    return asyncio.create_task(work, name=name, context=Context())


def about(request: RequestContext | None) -> dict[str, object]:
    """For `extra` of a log call. None: about no request."""
    return {_EXTRA: request}


def request_of(record: LogRecord) -> RequestContext | None:
    """Asked in the task that logs it."""
    if hasattr(record, _EXTRA):
        named: RequestContext | None = getattr(record, _EXTRA)
        return named
    return _current.get()
