"""Spans, made of moments that were recorded: nothing here is called for each token.

The only module that imports OpenTelemetry, and itself imported only where traces go somewhere (see
`TracingSettings.start`). Moments are `time.monotonic` seconds.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from baton import __version__
from baton.telemetry.lane import Lane

logger = logging.getLogger(__name__)

Value = str | bool | int | float | tuple[str, ...]
Attributes = Mapping[str, Value]
Metadata = tuple[tuple[str, str], ...]

LAST_SECONDS = 2.0  # twice at most, for what is left to be sent when the process ends
_W3C = TraceContextTextMapPropagator()
_SCOPE = InstrumentationScope("baton", __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)
_INSECURE = ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE")


class Tracer:
    """Sends spans from a thread of its own; while the collector is away they are dropped, and nobody
    waits. Close it once.
    """

    def __init__(self, endpoint: str, service: str, instance: str = "") -> None:
        plain = endpoint.startswith("grpc://") and not any(map(os.environ.get, _INSECURE))
        self._exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True if plain else None)
        self._provider = TracerProvider(
            resource=_resource(service, instance), shutdown_on_exit=False
        )
        self._batches = BatchSpanProcessor(self._exporter)
        self._provider.add_span_processor(self._batches)

    def begin(self, name: str, headers: Mapping[str, str], at: float) -> "Span | None":
        """A request's whole, since `at`, in the trace of its caller, if `headers` (W3C, lower case)
        name one. None where it is not sampled.
        """
        return self._begin(name, _W3C.extract(headers), at)

    def go_on(self, name: str, metadata: Mapping[str, str], at: float) -> "Span | None":
        """What a call asks for, since `at`. None where the caller traces nothing."""
        parent = _W3C.extract(metadata)
        if not otel.get_current_span(parent).get_span_context().is_valid:
            return None
        return self._begin(name, parent, at)

    def _begin(self, name: str, caller: Context, at: float) -> "Span | None":
        parent = otel.get_current_span(caller).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else self.new_trace_id()
        kind, state = SpanKind.SERVER, parent.trace_state
        sampled = self._provider.sampler.should_sample(
            caller, trace_id, name, kind, trace_state=state
        )
        if sampled.decision is not Decision.RECORD_AND_SAMPLE:
            return None
        zero = time.time_ns() - time.monotonic_ns()
        place = Place(trace_id, parent if parent.is_valid else None, sampled.trace_state)
        return Span(self, zero, name, place, at, kind)

    def new_trace_id(self) -> int:
        return self._provider.id_generator.generate_trace_id()

    def new_span_id(self) -> int:
        return self._provider.id_generator.generate_span_id()

    def send(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        times: tuple[int, int],
        attributes: Attributes,
        status: Status,
    ) -> None:
        """A span that is over, made in one go. The library would rather have each one begun and ended
        through its own `Tracer`, which takes twice as long for locks, limits and events.
        """
        self._batches.on_end(
            ReadableSpan(
                name,
                context,
                parent,
                resource=self._provider.resource,
                attributes=attributes,
                kind=kind,
                instrumentation_scope=_SCOPE,
                status=status,
                start_time=times[0],
                end_time=times[1],
            )
        )

    def close(self) -> None:
        """Sends what is left, for a bounded time."""
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(LAST_SECONDS)
        if ending.is_alive():
            logger.warning("the last spans reached no collector")
            self._exporter.shutdown()  # which ends its attempts
            ending.join(LAST_SECONDS)


@dataclass(frozen=True, slots=True)
class Place:
    """Of a span in its trace."""

    trace_id: int
    parent: SpanContext | None
    state: TraceState | None  # the caller's, handed on


class Span:
    """One that is under way. `zero` is when this process's monotonic clock stood at 0, ns since 1970:
    one reading for a whole request, so that neighbours meet exactly.
    """

    def __init__(
        self,
        tracer: Tracer,
        zero: int,
        name: str,
        place: Place,
        at: float,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        self._tracer = tracer
        self._zero = zero
        self._name = name
        self._place = place
        self._kind = kind
        self._start = self._wall(at)
        self._context = SpanContext(
            place.trace_id,
            tracer.new_span_id(),
            is_remote=False,
            trace_flags=_SAMPLED,
            trace_state=place.state,
        )
        self._attributes: dict[str, Value] = {}
        self._status = _UNSET
        self.is_over = False

    @property
    def trace_id(self) -> str:
        return otel.format_trace_id(self._place.trace_id)

    def metadata(self) -> Metadata:
        """For calls that are made on its behalf."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, otel.set_span_in_context(otel.NonRecordingSpan(self._context)))
        return tuple(carrier.items())

    def set(self, attributes: Attributes) -> None:
        self._attributes.update(attributes)

    def fail(self, error: str) -> None:
        self._status = Status(StatusCode.ERROR, error)

    def lane(self, at: float) -> Lane:
        return Lane(self, at)

    def child(self, name: str, at: float) -> "Span":
        place = Place(self._place.trace_id, self._context, self._place.state)
        return Span(self._tracer, self._zero, name, place, at)

    def end(self, at: float, error: str | None = None) -> None:
        """Once; what comes later is ignored."""
        if self.is_over:
            return
        self.is_over = True
        if error is not None:
            self.fail(error)
        times = self._start, self._wall(at)
        context, parent = self._context, self._place.parent
        self._tracer.send(
            self._name, context, parent, self._kind, times, self._attributes, self._status
        )

    def _wall(self, at: float) -> int:
        return self._zero + int(at * 1e9)


def _resource(service: str, instance: str) -> Resource:
    """What the environment says wins."""
    named = {
        "service.name": service,
        "service.instance.id": instance or f"{socket.gethostname()}-{os.getpid()}",
        "service.version": __version__,
    }
    return Resource.create({**named, **OTELResourceDetector().detect().attributes})
