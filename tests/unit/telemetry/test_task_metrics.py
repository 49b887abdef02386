"""The tasks of an event loop, as a process's metrics page counts them."""

import asyncio

from prometheus_client import CollectorRegistry

from baton.telemetry.metrics import TaskCollector


async def wait_for(event: asyncio.Event) -> None:
    await event.wait()


async def count(registry: CollectorRegistry) -> float | None:
    """From another thread, as pages are served."""
    labels = {"coroutine": "wait_for"}
    return await asyncio.to_thread(registry.get_sample_value, "baton_asyncio_tasks", labels)


async def test_tasks_are_counted_by_what_they_run_for_as_long_as_they_do() -> None:
    registry = CollectorRegistry()
    registry.register(TaskCollector(asyncio.get_running_loop()))
    event = asyncio.Event()
    tasks = [asyncio.create_task(wait_for(event), name=f"request {i}") for i in range(3)]
    assert await count(registry) == 3
    event.set()
    await asyncio.gather(*tasks)
    assert await count(registry) is None
