"""Metrics of a process: the page that shows them and what a process puts on it."""

from baton.telemetry.metrics_server import HEALTH, LIVE, MetricsServer, loop_answers
from baton.telemetry.process_metrics import process_collector
from baton.telemetry.task_metrics import TaskCollector
from baton.telemetry.worker_metrics import WorkerCollector
from baton.telemetry.worker_reading import NixlReading, WorkerReading

__all__ = [
    "HEALTH",
    "LIVE",
    "MetricsServer",
    "NixlReading",
    "TaskCollector",
    "WorkerCollector",
    "WorkerReading",
    "loop_answers",
    "process_collector",
]
