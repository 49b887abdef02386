"""A Pull ends when its reader hears that it has, whatever its writer waits for."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc

from baton.core.errors import UnavailableError
from baton.core.handoff import Handoff
from kv_transfer import receiver_events as ev
from kv_transfer.pull_call import PullCall

HANDOFF = Handoff("transfer", b"ticket", "there:1", "instance")


class FakeCall:
    """As gRPC's where the sender dies while the call begins: nothing is sent, and its writer is never
    told.
    """

    def __init__(self) -> None:
        self.writes = 0

    async def write(self, _: Any) -> None:
        self.writes += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.writes -= 1

    async def __aiter__(self) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "it is gone"
        )
        yield


async def test_a_sender_that_dies_as_the_call_begins_is_told_of() -> None:
    call = FakeCall()
    peer: Any = SimpleNamespace(stub=SimpleNamespace(Pull=lambda **_: call))
    told: list[ev.ReceiverEvent] = []
    async with asyncio.timeout(10):
        await PullCall(peer, told.append).follow(HANDOFF, "me", checksums=False)
    [broken] = told
    assert isinstance(broken, ev.PullBroken)
    assert isinstance(broken.error, UnavailableError)
    await asyncio.sleep(0)
    assert call.writes == 0
