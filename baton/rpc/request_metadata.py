"""The request that a call between workers is made for, as metadata: for what both sides log of it."""

from typing import Any

from baton.telemetry.request_context import begin_request, current_request

# Bytes, which "-bin" says: clients choose their requests' ids, and text must be plain ASCII there.
REQUEST_KEY, TRACE_KEY = "baton-request-bin", "baton-trace"


def request_metadata() -> tuple[tuple[str, str | bytes], ...]:
    """Of the request that the running task works for; empty where it works for none."""
    request = current_request()
    if request is None:
        return ()
    trace = ((TRACE_KEY, request.trace_id),) if request.trace_id else ()
    return ((REQUEST_KEY, request.request_id.encode()), *trace)


def metadata_of(context: Any) -> dict[str, Any]:
    """What a call came with. `context` is gRPC's."""
    return dict(context.invocation_metadata() or ())


def adopt_request(context: Any) -> None:
    """The handler's task works for the caller's request. `context` is gRPC's."""
    metadata = metadata_of(context)
    if REQUEST_KEY in metadata:
        request_id = metadata[REQUEST_KEY].decode(errors="replace")
        begin_request(request_id, str(metadata.get(TRACE_KEY, "")))
