"""Around one call to a worker: its lines in the log have the request's id, and it may have spans."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from baton.core.errors import BatonError
from baton.telemetry.request_context import begin_request

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane
    from baton.telemetry.tracing import Tracer


@contextmanager
def traced_call(
    tracer: "Tracer | None",
    name: str,
    request_id: str,
    attempt: int,
    metadata: Mapping[str, Any],
) -> Iterator["Lane | None"]:
    """`metadata`: what the call came with. Gives the lane of the call's phases, whose open one ends
    with the call. None: nobody traces it.
    """
    if tracer is None:
        begin_request(request_id)
        yield None
        return
    began = time.monotonic()
    span = tracer.go_on(name, metadata, began)
    begin_request(request_id, "" if span is None else span.trace_id)
    if span is None:
        yield None
        return
    span.set({"baton.job": request_id, "baton.attempt": attempt})
    lane = span.lane(began)
    error: BaseException | None = None
    try:
        yield lane
    except BaseException as raised:
        error = raised
        raise
    finally:
        failure = failure_of(error)
        lane.shut(error=failure)
        span.end(lane.reached, failure)


def failure_of(error: BaseException | None) -> str | None:
    """What makes a span a failed one. A client that left, or a text that ended the answer, does not."""
    return str(error) if isinstance(error, BatonError) else None
