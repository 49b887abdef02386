"""What a process takes of its machine, as Prometheus' own library tells it, on Linux."""

from dataclasses import replace

from prometheus_client import ProcessCollector

from baton.telemetry.family import Family, counter, gauge

# Its names and words, for docs/metrics.md.
PROCESS_FAMILIES: tuple[Family, ...] = tuple(
    replace(family, is_common=False)
    for family in (
        counter("process_cpu_seconds", "Total user and system CPU time spent in seconds."),
        gauge("process_resident_memory_bytes", "Resident memory size in bytes."),
        gauge("process_virtual_memory_bytes", "Virtual memory size in bytes."),
        gauge("process_open_fds", "Number of open file descriptors."),
        gauge("process_max_fds", "Maximum number of open file descriptors."),
        gauge(
            "process_start_time_seconds", "Start time of the process since unix epoch in seconds."
        ),
    )
)


def process_collector() -> ProcessCollector:
    """To be registered where the page is."""
    return ProcessCollector(registry=None)
