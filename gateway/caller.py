"""Who sent a request, as far as its jobs must know."""

from dataclasses import dataclass

from starlette.requests import Request

from gateway.auth import tenant_of
from gateway.objectives import NONE, Objectives, objectives_of
from gateway.request_scope import request_id_of


@dataclass(frozen=True, slots=True)
class Caller:
    request_id: str  # the client's, or a fresh one
    tenant: str  # digest of its key, "" where none is asked for
    objectives: Objectives = NONE


def caller_of(request: Request) -> Caller:
    """Raises RequestError for a header that makes no sense."""
    return Caller(request_id_of(request), tenant_of(request), objectives_of(request.headers))
