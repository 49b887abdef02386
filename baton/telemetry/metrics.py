"""Metrics of a process: the page that shows them and what a process puts on it."""

from baton.telemetry.metrics_server import MetricsServer
from baton.telemetry.task_metrics import TaskCollector
from baton.telemetry.worker_metrics import WorkerCollector, WorkerReading

__all__ = ["MetricsServer", "TaskCollector", "WorkerCollector", "WorkerReading"]
