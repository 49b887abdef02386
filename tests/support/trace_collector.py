"""A collector of traces inside the test: OTLP's own service, on a free port."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

ROOT = "llm_request"


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """As it came; times in ns since 1970."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str  # empty: none
    start: int
    end: int
    attributes: dict[str, Any]
    error: str | None  # None: it did not fail


@dataclass(frozen=True, slots=True)
class SeenTrace:
    spans: tuple[SeenSpan, ...]

    def all(self, name: str) -> list[SeenSpan]:
        """In order of their beginning."""
        return sorted((s for s in self.spans if s.name == name), key=lambda span: span.start)

    def one(self, name: str) -> SeenSpan:
        (span,) = self.all(name)
        return span

    def below(self, parent: SeenSpan) -> list[SeenSpan]:
        """Its children of the same process, in order."""
        found = [s for s in self.spans if s.parent_id == parent.span_id]
        return sorted((s for s in found if s.service == parent.service), key=lambda s: s.start)

    def parent(self, span: SeenSpan) -> SeenSpan | None:
        return next((s for s in self.spans if s.span_id == span.parent_id), None)


class TraceCollector(TraceServiceServicer):
    def __init__(self) -> None:
        self.spans: list[SeenSpan] = []
        self._came = asyncio.Condition()
        self.endpoint = ""

    async def Export(
        self, request: ExportTraceServiceRequest, context: Any
    ) -> ExportTraceServiceResponse:
        async with self._came:
            for resource in request.resource_spans:
                named = {a.key: a.value.string_value for a in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self.spans += [_seen(named["service.name"], span) for span in scope.spans]
            self._came.notify_all()
        return ExportTraceServiceResponse()

    def traces(self) -> dict[str, SeenTrace]:
        """By their ids."""
        ids = dict.fromkeys(span.trace_id for span in self.spans)
        return {i: SeenTrace(tuple(s for s in self.spans if s.trace_id == i)) for i in ids}

    async def trace(
        self, request_id: str, whole: Callable[[SeenTrace], bool], seconds: float = 20.0
    ) -> SeenTrace:
        """The request's, as soon as it is `whole`. Bounded."""
        found: list[SeenTrace] = []

        def is_there() -> bool:
            found[:] = [t for t in self.traces().values() if _is_of(t, request_id)]
            return bool(found) and whole(found[0])

        try:
            async with asyncio.timeout(seconds), self._came:
                await self._came.wait_for(is_there)
        except TimeoutError:
            names = [(s.service, s.name) for t in found for s in t.spans]
            raise AssertionError(f"of {request_id} only these spans came: {names}") from None
        return found[0]


def filled(parent: SeenSpan, phases: list[SeenSpan]) -> bool:
    """Whether each begins where the one before it ended, so that no nanosecond of the parent is lost."""
    places = [parent.start, *(moment for span in phases for moment in (span.start, span.end))]
    return places[::2] == [*places[1::2], parent.end]


@asynccontextmanager
async def trace_collector() -> AsyncIterator[TraceCollector]:
    collector, server = TraceCollector(), grpc.aio.server()
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)


def _is_of(trace: SeenTrace, request_id: str) -> bool:
    return any(root.attributes.get("gen_ai.request.id") == request_id for root in trace.all(ROOT))


def _seen(service: str, span: OtlpSpan) -> SeenSpan:
    return SeenSpan(
        span.name,
        service,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        {attribute.key: _plain(attribute.value) for attribute in span.attributes},
        span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
    )


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return getattr(value, kind)
