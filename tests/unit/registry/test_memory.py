"""The registry inside one process."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from baton.core.worker_info import WorkerInfo
from baton.registry.memory import InMemoryRegistry
from baton.registry.store import Registry
from tests.support.worker_infos import worker_info

T = TypeVar("T")


async def next_of(stream: AsyncIterator[T]) -> T:
    async with asyncio.timeout(20):
        return await anext(stream)


def ids(members: tuple[WorkerInfo, ...]) -> list[str]:
    return [info.worker_id for info in members]


def test_it_is_a_registry() -> None:
    registry: Registry = InMemoryRegistry()
    assert registry.members() == ()


def test_members_are_ordered_by_worker_id() -> None:
    registry = InMemoryRegistry()
    for name in ("prefill-1", "decode-0", "prefill-0"):
        registry.join(worker_info(name))
    assert ids(registry.members()) == ["decode-0", "prefill-0", "prefill-1"]


def test_a_newer_instance_replaces_the_older() -> None:
    registry = InMemoryRegistry()
    registry.join(worker_info(instance_id="old"))
    registry.join(worker_info(instance_id="new"))
    assert [m.instance_id for m in registry.members()] == ["new"]


def test_a_replaced_instance_cannot_end_its_successor() -> None:
    registry = InMemoryRegistry()
    registry.join(worker_info(instance_id="old"))
    registry.join(worker_info(instance_id="new"))
    registry.leave(worker_info(instance_id="old"))
    assert [m.instance_id for m in registry.members()] == ["new"]


def test_leaving_without_having_joined_changes_nothing() -> None:
    registry = InMemoryRegistry()
    registry.leave(worker_info())
    assert registry.members() == ()


async def test_a_subscriber_gets_the_membership_at_once_and_then_each_change() -> None:
    registry = InMemoryRegistry()
    seen = registry.subscribe()
    assert ids(await next_of(seen)) == []
    registry.join(worker_info("decode-0"))
    assert ids(await next_of(seen)) == ["decode-0"]
    registry.leave(worker_info("decode-0"))
    assert ids(await next_of(seen)) == []


async def test_a_slow_subscriber_gets_the_latest_membership_once() -> None:
    registry = InMemoryRegistry()
    seen = registry.subscribe()
    await next_of(seen)
    registry.join(worker_info("decode-0"))
    registry.join(worker_info("decode-1"))
    assert ids(await next_of(seen)) == ["decode-0", "decode-1"]
    pending = asyncio.ensure_future(anext(seen))
    await asyncio.wait([pending], timeout=0)
    assert not pending.done()
    registry.join(worker_info("decode-2"))
    assert ids(await asyncio.wait_for(pending, 20)) == ["decode-0", "decode-1", "decode-2"]


async def test_every_subscriber_sees_a_change() -> None:
    registry = InMemoryRegistry()
    streams = [registry.subscribe() for _ in range(3)]
    for stream in streams:
        await next_of(stream)
    registry.join(worker_info("decode-0"))
    assert [ids(await next_of(stream)) for stream in streams] == [["decode-0"]] * 3


async def test_joining_again_unchanged_wakes_nobody() -> None:
    registry = InMemoryRegistry()
    registry.join(worker_info())
    seen = registry.subscribe()
    await next_of(seen)
    pending = asyncio.ensure_future(anext(seen))
    registry.join(worker_info())
    await asyncio.wait([pending], timeout=0)
    assert not pending.done()
    pending.cancel()
