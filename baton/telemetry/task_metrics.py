"""What an event loop has to do: its tasks, counted by what they run. A kind that only grows is a leak."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

FAMILY = "baton_asyncio_tasks"


class TaskCollector(Collector):
    """Scraped from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def collect(self) -> Iterator[Metric]:
        tasks = GaugeMetricFamily(
            FAMILY, "Tasks of the event loop, by the coroutine that they run.", labels=["coroutine"]
        )
        counts = Counter(_name(task) for task in asyncio.all_tasks(self._loop))
        for name, count in sorted(counts.items()):
            tasks.add_metric([name], count)
        yield tasks


def _name(task: "asyncio.Task[Any]") -> str:
    """Such as `Pulling.run`; never the task's own name, which may differ for each request."""
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", type(coroutine).__name__)
