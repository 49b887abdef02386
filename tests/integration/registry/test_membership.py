"""Workers joining and leaving over real gRPC."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import grpc
import pytest

from baton.core.errors import SettingsError
from baton.core.worker_info import WorkerInfo
from baton.registry.membership import Membership
from baton.registry.memory import InMemoryRegistry
from baton.registry.service import RegistryServicer
from baton.rpc.server import bind, make_server
from baton.v1 import registry_pb2_grpc
from tests.support.worker_infos import worker_info

SECRET = "the cluster's secret"
Members = tuple[WorkerInfo, ...]


@contextlib.asynccontextmanager
async def serving(
    registry: InMemoryRegistry, port: int = 0, secret: str = SECRET
) -> AsyncIterator[int]:
    server: grpc.aio.Server = make_server(secret)
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(RegistryServicer(registry), server)
    taken = bind(server, "127.0.0.1", port)
    await server.start()
    try:
        yield taken
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def running(
    info: WorkerInfo, port: int, secret: str = SECRET
) -> AsyncIterator[tuple[Membership, "asyncio.Task[None]"]]:
    membership = Membership(info, f"127.0.0.1:{port}", secret)
    task = asyncio.create_task(membership.run())
    try:
        yield membership, task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, SettingsError):
            await task


async def until(registry: InMemoryRegistry, holds: Callable[[Members], bool]) -> Members:
    async with asyncio.timeout(10):
        async for members in registry.subscribe():
            if holds(members):
                return members
    raise AssertionError("a subscription never ends")


def named(*names: str) -> Callable[[Members], bool]:
    return lambda members: [m.worker_id for m in members] == list(names)


async def joined(membership: Membership) -> None:
    async with asyncio.timeout(10):
        await membership.joined.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_worker_joins_with_its_whole_description() -> None:
    registry = InMemoryRegistry()
    info = worker_info("prefill-0")
    async with serving(registry) as port, running(info, port) as (membership, _):
        await joined(membership)
        assert registry.members() == (info,)


async def test_a_cancelled_worker_leaves() -> None:
    registry = InMemoryRegistry()
    async with serving(registry) as port:
        async with running(worker_info("decode-0"), port) as (membership, _):
            await joined(membership)
        await until(registry, named())


async def test_a_subscriber_sees_workers_come_and_go() -> None:
    registry = InMemoryRegistry()
    async with serving(registry) as port, running(worker_info("decode-0"), port):
        await until(registry, named("decode-0"))
        async with running(worker_info("prefill-0"), port):
            await until(registry, named("decode-0", "prefill-0"))
        await until(registry, named("decode-0"))


async def test_a_worker_that_starts_first_joins_once_the_registry_is_there() -> None:
    registry = InMemoryRegistry()
    port = free_port()
    async with running(worker_info("decode-0"), port) as (membership, task):
        assert not membership.joined.is_set()
        assert not task.done()
        async with serving(registry, port):
            await joined(membership)


async def test_workers_join_again_after_the_registry_restarted() -> None:
    async with contextlib.AsyncExitStack() as stack:
        first = InMemoryRegistry()
        async with serving(first) as port:
            for name in ("decode-0", "prefill-0"):
                await stack.enter_async_context(running(worker_info(name), port))
            await until(first, named("decode-0", "prefill-0"))
        second = InMemoryRegistry()
        async with serving(second, port):
            await until(second, named("decode-0", "prefill-0"))


async def test_a_gateway_that_is_started_again_is_nothing_to_complain_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving(InMemoryRegistry()) as port:
            membership, _ = await stack.enter_async_context(running(worker_info(), port))
            await joined(membership)
        again = InMemoryRegistry()
        async with serving(again, port):
            await until(again, named("prefill-0"))
    # gRPC's poller may complain to asyncio, of nothing that concerns us.
    assert [record for record in caplog.records if record.name.startswith("baton")] == []


async def test_a_worker_knows_that_it_is_no_member_while_the_registry_is_away() -> None:
    registry = InMemoryRegistry()
    async with contextlib.AsyncExitStack() as stack:
        async with serving(registry) as port:
            membership, _ = await stack.enter_async_context(running(worker_info(), port))
            await joined(membership)
        # The server is gone; joining the next one proves that the worker had noticed.
        again = InMemoryRegistry()
        async with serving(again, port):
            await until(again, named("prefill-0"))
            await joined(membership)


async def test_a_newer_instance_replaces_the_older_and_tells_it() -> None:
    registry = InMemoryRegistry()
    older, newer = worker_info(instance_id="older"), worker_info(instance_id="newer")
    async with serving(registry) as port, running(older, port) as (first, first_task):
        await joined(first)
        async with running(newer, port) as (second, _):
            await joined(second)
            with pytest.raises(SettingsError, match=r"worker prefill-0.*--worker-id"):
                await asyncio.wait_for(first_task, 10)
            assert registry.members() == (newer,)


async def test_the_same_instance_on_a_second_stream_outlives_its_first() -> None:
    registry = InMemoryRegistry()
    info = worker_info()
    async with serving(registry) as port, running(info, port) as (first, first_task):
        await joined(first)
        async with running(info, port) as (second, _):
            await joined(second)
            with pytest.raises(SettingsError):
                await asyncio.wait_for(first_task, 10)
            assert registry.members() == (info,)
        await until(registry, named())


async def test_a_wrong_secret_is_said_and_not_tried_again() -> None:
    registry = InMemoryRegistry()
    async with serving(registry) as port, running(worker_info(), port, "guess") as (_, task):
        with pytest.raises(SettingsError, match=r"refused this worker.*secret"):
            await asyncio.wait_for(task, 10)
        assert registry.members() == ()
