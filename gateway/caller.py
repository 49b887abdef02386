"""Who sent a request, as far as its jobs must know."""

import math
from dataclasses import dataclass

from starlette.requests import Request

from baton.core.errors import RequestError
from gateway.auth import tenant_of, visit_of
from gateway.request_scope import request_id_of
from gateway.tenants.visit import Visit

TIMEOUT_HEADER = "x-baton-timeout-ms"


@dataclass(frozen=True, slots=True)
class Caller:
    request_id: str  # the client's, or a fresh one
    tenant: str  # what its blocks' hashes begin with, "" where no keys are asked for
    visit: Visit
    timeout: float | None = None  # seconds that it waits for room, if it says so


def caller_of(request: Request) -> Caller:
    """Raises RequestError for a header that cannot be read."""
    return Caller(
        request_id_of(request), tenant_of(request), visit_of(request), _timeout_of(request)
    )


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
