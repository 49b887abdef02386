"""Who sent a request, as far as its jobs must know."""

import math
from dataclasses import dataclass

from starlette.requests import Request

from baton.core.errors import RequestError
from gateway.http.auth import tenant_of, visit_of
from gateway.http.request_scope import model_name_of, request_id_of, trace_of
from gateway.placing.objectives import NONE, Objectives, objectives_of
from gateway.placing.placement_record import PlacementRecord
from gateway.telemetry.request_trace import RequestTrace
from gateway.tenants.visit import Visit

TIMEOUT_HEADER = "x-baton-timeout-ms"


@dataclass(frozen=True, slots=True)
class Caller:
    request_id: str  # the client's, or a fresh one
    tenant: str  # what its blocks' hashes begin with, "" where no keys are asked for
    visit: Visit
    timeout: float | None = None  # seconds that it waits for room, if it says so
    objectives: Objectives = NONE
    record: PlacementRecord | None = None  # of where its jobs go
    trace: RequestTrace | None = None


def caller_of(request: Request) -> Caller:
    """Raises RequestError for a header that makes no sense. The answer's header will say where the
    request went.
    """
    request_id, tenant = request_id_of(request), tenant_of(request)
    objectives, timeout = objectives_of(request.headers), _timeout_of(request)
    record = PlacementRecord(request_id, tenant, objectives, model_name_of(request))
    request.state.placement = record
    visit, trace = visit_of(request), trace_of(request)
    return Caller(request_id, tenant, visit, timeout, objectives, record, trace)


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
