"""Checksums over whole blocks."""

from collections.abc import Iterator

import pytest

from baton.engine.blocks.kv_pool import KvPool
from kv_transfer.checksums import checksums_of, wrong_blocks
from tests.support.kv_pair import LAYOUT

pytestmark = pytest.mark.unit


@pytest.fixture
def pool() -> Iterator[KvPool]:
    with KvPool(LAYOUT, 4) as pool:
        for block in range(4):
            pool.view[block * LAYOUT.block_bytes] = block
        yield pool


def test_they_are_xxh3_64_as_others_compute_it(pool: KvPool) -> None:
    """Workers of different versions must agree: the value for a block of zeros is written down."""
    assert checksums_of(pool, [0]) == (0x620797930AB0991A,)


def test_the_places_of_wrong_blocks_are_told(pool: KvPool) -> None:
    sums = checksums_of(pool, [3, 1, 2])
    assert wrong_blocks(pool, [3, 1, 2], sums) == ()
    pool.view[2 * LAYOUT.block_bytes - 1] ^= 128  # the last bit of block 1
    assert wrong_blocks(pool, [3, 1, 2], sums) == (1,)
    assert wrong_blocks(pool, [2, 3, 1], sums) == (0, 1, 2)


def test_a_checksum_too_few_is_a_defect(pool: KvPool) -> None:
    with pytest.raises(ValueError, match="shorter"):
        wrong_blocks(pool, [1, 2], checksums_of(pool, [1]))
