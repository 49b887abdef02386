"""A sender that is killed without a word."""

import asyncio
import sys
from pathlib import Path

import pytest

from baton.core.errors import TransferError, UnavailableError
from baton.core.handoff import Handoff
from baton.engine.blocks.kv_pool import KvPool
from tests.support.kv_pair import receiving_side, until
from tests.support.kv_planes import usable
from tests.support.kv_residue import mapped_pools, our_threads

pytestmark = pytest.mark.integration


ROOT = Path(__file__).parents[3]


def is_bound(name: str) -> bool:
    """Whether the abstract unix socket exists on this machine."""
    return f"@{name}" in Path("/proc/net/unix").read_text()


@pytest.mark.parametrize("transport", ["shm", "tcp", "grpc", "nixl"])
async def test_kill_9_in_mid_pull_fails_it_within_seconds_and_leaves_nothing(
    pools: tuple[KvPool, KvPool], transport: str
) -> None:
    words = [sys.executable, "-m", "tests.support.kv_child", usable(transport)]
    mapped = mapped_pools()
    child = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), 30)
        transfer_id, ticket, address, instance_id, socket_name = line.decode().split()
        assert is_bound(socket_name) is (transport != "nixl")
        handoff = Handoff(transfer_id, bytes.fromhex(ticket), address, instance_id)
        async with receiving_side(pools[1], transport) as d:
            pull = d.pull(handoff)
            await d.books.until(lambda: bool(d.books.held))
            child.kill()
            with pytest.raises((UnavailableError, TransferError)):
                await asyncio.wait_for(pull, 20)
            assert not d.books.held
            await until(lambda: mapped_pools() == mapped and our_threads() == [])
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(d.pull(handoff), 20)
        await child.wait()
        assert not is_bound(socket_name)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
