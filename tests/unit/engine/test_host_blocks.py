"""Host memory beside a KV pool: copies of whole blocks, committed at once."""

import pytest

from baton.core.errors import SettingsError
from baton.core.layout import LayoutDescriptor
from baton.engine.blocks.host_blocks import HostBlocks
from baton.engine.blocks.kv_pool import KvPool

LAYOUT = LayoutDescriptor(num_layers=1, num_kv_heads=1, head_dim=8, block_size=16, dtype="uint8")


def test_a_block_goes_and_comes_back_and_nothing_beside_it_changes() -> None:
    with KvPool(LAYOUT, 4) as pool:
        slots = HostBlocks(pool, 3)
        before = b"".join(bytes([b]) * 256 for b in (1, 2, 3, 4))
        pool.view[: 4 * 256] = before
        slots.keep(1, 2)
        slots.keep(3, 0)
        assert bytes(pool.view[: 4 * 256]) == before
        slots.bring(2, 0)
        slots.bring(0, 2)
        slots.bring(1, 3)
        assert [set(pool.view[b * 256 : (b + 1) * 256]) for b in range(4)] == [{2}, {2}, {4}, {0}]
        slots.close()


def test_closing_gives_the_pools_memory_up_and_twice_is_fine() -> None:
    pool = KvPool(LAYOUT, 1)
    slots = HostBlocks(pool, 1)
    slots.close()
    slots.close()
    pool.close()
    assert pool._map.closed


def test_memory_that_the_machine_lacks_stops_the_start_with_advice() -> None:
    with (
        KvPool(LAYOUT, 1) as pool,
        pytest.raises(SettingsError, match="lower --kv-offloading-size"),
    ):
        HostBlocks(pool, 1 << 54)
