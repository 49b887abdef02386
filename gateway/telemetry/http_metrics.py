"""HTTP requests on the metrics page, under the names of prometheus-fastapi-instrumentator.

Not that library itself: it puts a coroutine around the sending of every piece of every stream. The
request's scope has all that is to be known, once the answer has begun.
"""

from starlette.datastructures import Headers
from starlette.types import Scope

from baton.telemetry.instruments import Instruments
from gateway import metric_families as families
from gateway.errors import REASON_HEADER
from gateway.root_path import path_of

UNCOUNTED = frozenset({"/health", "/ping", "/metrics", "/load", "/version"})  # as in vLLM
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE, OTHER_METHOD = "none", "other"  # clients write what they like
GONE = 499  # the client, before its answer began
BROKEN = "broken"  # why one may come back, where no header says it


class HttpMetrics:
    def __init__(self, page: Instruments) -> None:
        self._page = page
        self._fine = page.histogram(families.HTTP_FINE_SECONDS)

    def began(self, headers: Headers, model: str | None = None) -> None:
        """An answer, of the model of that name; None: it was refused before one was chosen."""
        seconds = headers.get("retry-after")
        if seconds is not None:
            reason = headers.get(REASON_HEADER, BROKEN)
            page = self._page if model is None else self._page.of(model)
            page.histogram(families.RETRY_AFTER, reason).observe(float(seconds))

    def ended(self, scope: Scope, status: int | None, seconds: float) -> None:
        """An answer, so long after its request came; `status` None: it never began."""
        if path_of(scope) in UNCOUNTED:
            return
        route = scope.get("route")
        handler = NO_ROUTE if route is None else route.path
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        group = f"{(status or GONE) // 100}xx"
        self._page.counter(families.HTTP_REQUESTS, handler, method, group).inc()
        self._page.histogram(families.HTTP_SECONDS, handler, method).observe(seconds)
        self._fine.observe(seconds)
