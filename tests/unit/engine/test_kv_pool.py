"""The pool's memory: one sealed, shareable run of blocks and a canary."""

import mmap
import os

import pytest

from baton.core.errors import SettingsError
from baton.core.layout import LayoutDescriptor
from baton.engine.blocks.kv_pool import KvPool
from kv_transfer.memory import Memory

LAYOUT = LayoutDescriptor(num_layers=1, num_kv_heads=1, head_dim=8, block_size=16, dtype="uint8")


def test_the_pool_is_the_memory_that_a_hand_off_reads() -> None:
    with KvPool(LAYOUT, 3) as pool:
        memory: Memory = pool
        assert memory.block_bytes == 256
        assert memory.canary_offset == mmap.PAGESIZE
        assert memory.size == len(memory.view) == 2 * mmap.PAGESIZE
        assert os.fstat(memory.fd).st_size == memory.size


def test_another_mapping_of_the_descriptor_sees_what_is_written() -> None:
    with KvPool(LAYOUT, 3) as pool, mmap.mmap(pool.fd, pool.size, prot=mmap.PROT_READ) as other:
        pool.view[256:260] = b"abcd"
        assert other[256:260] == b"abcd"
        assert other[pool.canary_offset :] == bytes(pool.view[pool.canary_offset :])


def test_two_pools_have_unequal_canaries() -> None:
    with KvPool(LAYOUT, 1) as one, KvPool(LAYOUT, 1) as two:
        assert one.view[one.canary_offset :] != two.view[two.canary_offset :]


@pytest.mark.parametrize("size", [0, 1 << 20])
def test_nobody_can_change_its_size(size: int) -> None:
    with KvPool(LAYOUT, 1) as pool, pytest.raises(PermissionError):
        os.ftruncate(pool.fd, size)


def test_a_copy_moves_one_block_and_zeroing_clears_one() -> None:
    with KvPool(LAYOUT, 4) as pool:
        pool.view[: 4 * 256] = b"".join(bytes([b]) * 256 for b in (1, 2, 3, 4))
        pool.copy_block(1, 3)
        pool.zero_block(0)
        assert [set(pool.view[b * 256 : (b + 1) * 256]) for b in range(4)] == [{0}, {2}, {3}, {2}]


def test_closing_twice_gives_the_descriptor_up_once() -> None:
    pool = KvPool(LAYOUT, 1)
    fd = pool.fd
    pool.close()
    pool.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_view_that_somebody_still_holds_outlives_the_pool() -> None:
    pool = KvPool(LAYOUT, 1)
    pool.view[:2] = b"hi"
    part = pool.view[:2]
    pool.close()
    assert bytes(part) == b"hi"


def test_memory_that_the_machine_lacks_stops_the_start_with_advice() -> None:
    with pytest.raises(SettingsError, match="lower --kv-cache-memory-bytes"):
        KvPool(LAYOUT, 1 << 54)
