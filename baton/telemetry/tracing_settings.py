"""The flag of tracing, and what of OpenTelemetry's own variables decides whether it is on."""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from baton.core.errors import SettingsError
from baton.settings import setting

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

MISSING = (
    "traces are to be sent to {endpoint}, but OpenTelemetry is not installed: "
    "pip install 'baton-serving[otel]'"
)
SCHEMES = ("http", "https", "grpc")  # the last as in vLLM's examples: in the clear, like http
_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.grpc")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """What else OpenTelemetry's variables say (sampler, service name, headers, certificates, limits)
    is read by its library.
    """

    otlp_traces_endpoint: str = setting(
        "",
        "Where traces go by OTLP over gRPC, such as http://localhost:4317 (default: none are made). "
        "OpenTelemetry's other variables hold, see docs/tracing.md.",
        env=("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    )

    def is_on(self, environ: Mapping[str, str] = os.environ) -> bool:
        disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        exported = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"
        return bool(self.otlp_traces_endpoint) and exported and not disabled

    def check(self, environ: Mapping[str, str] = os.environ) -> None:
        """Raises SettingsError."""
        if not self.is_on(environ):
            return
        _check_endpoint(self.otlp_traces_endpoint)
        exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
        if exporter not in ("", "otlp"):
            raise SettingsError(f"OTEL_TRACES_EXPORTER must be otlp or none, not {exporter!r}")
        protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "grpc")
        if protocol.strip().lower() != "grpc":
            raise SettingsError(
                f"traces go by OTLP over gRPC here, not {protocol!r}: take the collector's gRPC port "
                f"(4317) and unset {' and '.join(_PROTOCOLS)}"
            )
        if not _installed():
            raise SettingsError(MISSING.format(endpoint=self.otlp_traces_endpoint))

    def start(self, process: str, instance: str = "") -> "Tracer | None":
        """Of this process, to be closed at its end. None: off, and nothing is imported.

        `process` and `instance` name it where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES do not.
        """
        if not self.is_on():
            return None
        from baton.telemetry.tracing import Tracer

        return Tracer(self.otlp_traces_endpoint, f"baton-{process}", instance)


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        complete = parts.scheme in SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        complete = False
    if not complete:
        raise SettingsError(
            f"--otlp-traces-endpoint must be a URL such as http://localhost:4317, not {endpoint!r}"
        )


def _installed() -> bool:
    try:
        return all(importlib.util.find_spec(name) is not None for name in _NEEDED)
    except ModuleNotFoundError:  # of a parent
        return False
