"""Who sent a request, as far as its jobs must know."""

import math
from dataclasses import dataclass

from starlette.requests import Request

from baton.core.errors import RequestError
from gateway.auth import tenant_of
from gateway.request_scope import request_id_of

TIMEOUT_HEADER = "x-baton-timeout-ms"


@dataclass(frozen=True, slots=True)
class Caller:
    request_id: str  # the client's, or a fresh one
    tenant: str  # digest of its key, "" where none is asked for
    timeout: float | None = None  # seconds that it waits for room, if it says so


def caller_of(request: Request) -> Caller:
    """Raises RequestError for a header that cannot be read."""
    return Caller(request_id_of(request), tenant_of(request), _timeout_of(request))


def _timeout_of(request: Request) -> float | None:
    said = request.headers.get(TIMEOUT_HEADER)
    if said is None:
        return None
    try:
        milliseconds = float(said)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise RequestError(
            f"{TIMEOUT_HEADER} must be a positive number of milliseconds", TIMEOUT_HEADER
        )
    return milliseconds / 1000
