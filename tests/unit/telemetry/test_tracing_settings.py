"""When traces are made, and what stops a start that could not make them."""

import importlib.util
import subprocess
import sys

import pytest

from baton.core.errors import SettingsError
from baton.settings import settings_of
from baton.telemetry.tracing_settings import TracingSettings

SOMEWHERE = TracingSettings("http://collector:4317")


@pytest.mark.parametrize(
    ("settings", "environ", "on"),
    [
        (SOMEWHERE, {}, True),
        (SOMEWHERE, {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "false"}, True),
        (SOMEWHERE, {"OTEL_TRACES_EXPORTER": "none"}, False),
        (SOMEWHERE, {"OTEL_SDK_DISABLED": "TRUE"}, False),
        (TracingSettings(), {"OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_an_endpoint_turns_them_on_and_opentelemetrys_switches_off(
    settings: TracingSettings, environ: dict[str, str], on: bool
) -> None:
    assert settings.is_on(environ) is on
    settings.check(environ)


def test_opentelemetrys_own_variables_name_the_endpoint() -> None:
    (endpoint,) = settings_of(TracingSettings)
    assert endpoint.flag == "--otlp-traces-endpoint"
    assert endpoint.variables[1:] == (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    )


@pytest.mark.parametrize("endpoint", ["http://h:1", "https://h", "grpc://[::1]:4317"])
def test_urls_are_endpoints(endpoint: str) -> None:
    TracingSettings(endpoint).check({})


@pytest.mark.parametrize("endpoint", ["collector:4317", "ftp://h:1", "http://", "http://h:x", "h"])
def test_anything_else_is_refused_with_an_example(endpoint: str) -> None:
    with pytest.raises(SettingsError, match=r"must be a URL such as http://localhost:4317"):
        TracingSettings(endpoint).check({})


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "over gRPC here, not 'http/protobuf'"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "over gRPC here, not 'http/json'"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "must be otlp or none, not 'zipkin'"),
    ],
)
def test_what_would_be_ignored_is_refused(variable: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        SOMEWHERE.check({variable: value})


def test_without_the_extra_the_start_ends_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'baton-serving\[otel\]'"):
        SOMEWHERE.check({})


@pytest.mark.parametrize("module", ["gateway.server", "baton.worker.process"])
def test_while_they_are_off_nothing_of_them_is_loaded(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "from baton.telemetry.tracing_settings import TracingSettings\n"
        "TracingSettings().check()\n"
        "assert TracingSettings().start('x') is None\n"
        "loaded = {'opentelemetry.sdk', 'opentelemetry.exporter', 'baton.telemetry.tracing'}\n"
        "assert not loaded & set(sys.modules), loaded & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
