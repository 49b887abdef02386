"""KV that a request brings is kept alive while it waits, and given up when nobody took it."""

import asyncio

import pytest

from baton.core.errors import UnavailableError
from baton.core.handoff import Handoff
from gateway.serving import brought_kv
from gateway.serving.brought_kv import awaited

HANDOFF = Handoff("t", b"ticket", "h:1", "p")


class FakeClient:
    def __init__(self, left: float = 30.0) -> None:
        self.left = left
        self.asked = asyncio.Event()
        self.heard: list[str] = []
        self.error: UnavailableError | None = None

    def connect(self, address: str) -> "FakeClient":
        self.heard.append(address)
        return self

    async def renew(self, handoff: Handoff, hold: float) -> float:
        self.heard.append(f"renew {hold:g}")
        self.asked.set()
        if self.error is not None:
            raise self.error
        return self.left

    async def abort(self, handoff: Handoff, reason: str) -> None:
        self.heard.append("abort")
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.heard.append("close")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brought_kv, "RENEW_SECONDS", 0.001)


async def test_it_is_renewed_until_a_decode_worker_has_it() -> None:
    client, taken = FakeClient(), False
    async with awaited(HANDOFF, client.connect, 30.0, lambda: taken):  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            await client.asked.wait()
        taken = True
    assert client.heard[:2] == ["h:1", "renew 30"]
    assert "abort" not in client.heard
    assert client.heard[-1] == "close"


@pytest.mark.parametrize("error", [None, UnavailableError("gone")])
async def test_a_request_that_ends_before_gives_it_up(error: UnavailableError | None) -> None:
    client = FakeClient()
    client.error = error
    with pytest.raises(ValueError, match="no room"):
        async with awaited(HANDOFF, client.connect, 30.0, lambda: False):  # type: ignore[arg-type]
            raise ValueError("no room")
    assert client.heard[-2:] == ["abort", "close"]


async def test_what_is_gone_is_not_asked_for_again() -> None:
    client = FakeClient(left=0.0)
    async with awaited(HANDOFF, client.connect, 30.0, lambda: False):  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            await client.asked.wait()
        for _ in range(50):
            await asyncio.sleep(0)
    assert client.heard.count("renew 30") == 1
