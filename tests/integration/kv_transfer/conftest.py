"""Pools for the hand-off's tests, and the check that nothing stays behind."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from baton.engine.blocks.kv_pool import KvPool
from tests.support.kv_pair import LAYOUT, NUM_BLOCKS
from tests.support.kv_residue import mapped_pools, our_threads


@pytest.fixture
def pools() -> Iterator[tuple[KvPool, KvPool]]:
    """A sender's and a receiver's pool of zeros.

    Afterwards nothing of the hand-off runs or maps their memory.
    """
    before = mapped_pools()
    with ExitStack() as stack:
        source = stack.enter_context(KvPool(LAYOUT, NUM_BLOCKS))
        yield source, stack.enter_context(KvPool(LAYOUT, NUM_BLOCKS))
    assert our_threads() == []
    assert mapped_pools() == before
