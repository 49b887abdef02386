"""Values that no gateway can run with, and flags that contradict each other."""

from typing import TYPE_CHECKING

from baton.core.errors import SettingsError
from baton.core.pattern import check_pattern
from gateway.structured.config import read_config

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings

POLICIES = (FCFS, PRIORITY) = ("fcfs", "priority")  # who goes first
OWN_REGISTRY = ("127.0.0.1", 0)  # where a registry of its own listens by default
HTTP = ("127.0.0.1", 8000)
_PORTS = ("port", "registry_port")
_COUNTS = ("max_queued_requests", "placement_history")
_SIZES = ("max_body_bytes", "h11_max_incomplete_event_size", "h11_max_header_count")
_DURATIONS = (
    "max_queue_seconds",
    "failover_timeout",
    "resume_seconds",
    "worker_silence_seconds",
    "client_stall_seconds",
)


def check_values(settings: "GatewaySettings") -> None:
    """Raises SettingsError. Whether there is a model is not looked at."""
    _check_ranges(settings)
    _check_possible(settings)
    _check_agreement(settings)
    _check_registry(settings)
    _check_bound(settings)
    _check_tenants(settings)
    read_config(settings.structured_outputs_config)
    for part in (
        settings.tls,
        settings.cluster_tls,
        settings.redis,
        settings.response_store,
        settings.images,
        settings.tracing,
    ):
        part.check()


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check_ranges(settings: "GatewaySettings") -> None:
    for name in _PORTS:
        if not 0 <= (port := getattr(settings, name)) <= 65535:
            raise SettingsError(f"{_flag(name)} must be between 0 and 65535, not {port}")
    for name in _COUNTS:
        if getattr(settings, name) < 0:
            raise SettingsError(f"{_flag(name)} cannot be negative")
    for name in _DURATIONS:
        if not 0 < getattr(settings, name) < float("inf"):
            raise SettingsError(f"{_flag(name)} must be a positive number")
    for name in (*_SIZES, "stream_interval"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"{_flag(name)} must be at least 1")
    if not 0 <= settings.shutdown_seconds < float("inf"):
        raise SettingsError("--shutdown-seconds must be a number of seconds, 0 or more")
    if settings.max_logprobs < -1:
        raise SettingsError("--max-logprobs must be at least 0, or -1 for all")
    if settings.max_log_len is not None and settings.max_log_len < 0:
        raise SettingsError("--max-log-len cannot be negative")
    if not settings.response_role:
        raise SettingsError("--response-role cannot be empty")
    if settings.root_path and not settings.root_path.startswith("/"):
        raise SettingsError(f"--root-path {settings.root_path} must begin with /")
    check_pattern(settings.logits_processor_pattern, "--logits-processor-pattern")


def _check_possible(settings: "GatewaySettings") -> None:
    """Flags of vLLM's that cannot be taken at their word here."""
    if settings.tool_parser_plugin:
        raise SettingsError(
            f"--tool-parser-plugin {settings.tool_parser_plugin} cannot be loaded: parsers here are "
            "found by entry point (baton.tool_parsers), see docs/output.md"
        )
    if not settings.enable_auto_tool_choice:
        raise SettingsError("--no-enable-auto-tool-choice: a model may always choose here")
    if not settings.enable_request_id_headers:
        raise SettingsError("--no-enable-request-id-headers: every answer has its id here")
    if not settings.enable_server_load_tracking:
        raise SettingsError("--no-enable-server-load-tracking: /load always counts here")


def _check_agreement(settings: "GatewaySettings") -> None:
    if settings.ignore_priority and settings.scheduling_policy == PRIORITY:
        raise SettingsError("--ignore-priority contradicts --scheduling-policy priority")
    if settings.uds and (settings.host, settings.port) != HTTP:
        raise SettingsError("--uds listens on a file; --host and --port do nothing beside it")
    if settings.max_log_len is not None and not settings.enable_log_requests:
        raise SettingsError("--max-log-len does nothing without --enable-log-requests")


def _listens_elsewhere(settings: "GatewaySettings") -> bool:
    """A registry of its own is told where to."""
    return (settings.registry_host, settings.registry_port) != OWN_REGISTRY


def _check_registry(settings: "GatewaySettings") -> None:
    if settings.redis.place is not None and _listens_elsewhere(settings):
        raise SettingsError(
            "--registry-host and --registry-port are for a gateway that keeps the registry "
            "itself; with --redis-url workers join in Redis"
        )


def _check_bound(settings: "GatewaySettings") -> None:
    if not settings.worker:
        return
    host, _, port = settings.worker.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise SettingsError(f"--worker {settings.worker} must be HOST:PORT")
    if not settings.cluster_secret:
        raise SettingsError(
            "--worker needs --cluster-secret: what routers carry from a prefill worker's gateway "
            "to a decode worker's is signed with it"
        )
    if settings.models_file:
        raise SettingsError("--worker names the only worker, which serves one model")
    if settings.redis.place is not None or _listens_elsewhere(settings):
        raise SettingsError("--worker names the only worker; there is no registry beside it")


def _check_tenants(settings: "GatewaySettings") -> None:
    if not settings.tenants_in_redis:
        return
    if settings.tenants_file:
        raise SettingsError(
            "--tenants-in-redis and --tenants-file contradict each other: tenants have one source"
        )
    if settings.redis.place is None:
        raise SettingsError("--tenants-in-redis needs --redis-url")
