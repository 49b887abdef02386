"""Who sent a request, as far as its jobs must know."""

from dataclasses import dataclass

from starlette.requests import Request

from gateway.auth import tenant_of
from gateway.objectives import NONE, Objectives, objectives_of
from gateway.placement_record import PlacementRecord
from gateway.request_scope import request_id_of


@dataclass(frozen=True, slots=True)
class Caller:
    request_id: str  # the client's, or a fresh one
    tenant: str  # digest of its key, "" where none is asked for
    objectives: Objectives = NONE
    record: PlacementRecord | None = None  # of where its jobs go


def caller_of(request: Request) -> Caller:
    """Raises RequestError for a header that makes no sense. The answer's header will say where the
    request went.
    """
    request_id, tenant = request_id_of(request), tenant_of(request)
    objectives = objectives_of(request.headers)
    record = PlacementRecord(request_id, tenant, objectives)
    request.state.placement = record
    return Caller(request_id, tenant, objectives, record)
