"""What an event loop has to do: its tasks, counted by what they run."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from baton.telemetry.family import gauge
from baton.telemetry.teller import Teller

TASKS = replace(
    gauge(
        "baton_asyncio_tasks",
        "Tasks of the process's event loop, by the coroutine that they run. A kind that only grows is "
        "a leak.",
        "coroutine",
    ),
    is_common=False,
)
FAMILY = TASKS.name


class TaskCollector(Collector):
    """Scraped from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def collect(self) -> Iterator[Metric]:
        counts = Counter(_name(task) for task in asyncio.all_tasks(self._loop))
        yield Teller("").each(TASKS, counts)


def _name(task: "asyncio.Task[Any]") -> str:
    """Such as `Pulling.run`; never the task's own name, which may differ for each request."""
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", type(coroutine).__name__)
