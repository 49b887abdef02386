"""The pool of a device, on a CPU: what the engine does to blocks, and their way to the host and back."""

import pytest
import torch

from baton.core.errors import SettingsError
from baton.core.layout import LayoutDescriptor
from baton.engine.blocks.device_pool import DevicePool
from baton.engine.blocks.device_storage import DeviceStorage
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.machine.device import choose_device

CPU = torch.device("cpu")
LAYOUT = LayoutDescriptor(num_layers=2, num_kv_heads=3, head_dim=4, block_size=16, dtype="bfloat16")


@pytest.fixture
def pool() -> DevicePool:
    made = DevicePool(LAYOUT, 6, CPU)
    made.tensor.copy_(torch.arange(made.tensor.numel()).view(made.tensor.shape) % 251)
    return made


def test_it_begins_as_zeros_with_one_block_more_that_is_nobodys() -> None:
    made = DevicePool(LAYOUT, 6, CPU)

    assert made.tensor.shape == (7, 2, 2, 3, 16, 4)
    assert made.tensor.dtype is torch.bfloat16
    assert not made.tensor.any()
    assert (made.num_blocks, made.scratch) == (6, 6)
    assert made.block_bytes == LAYOUT.block_bytes


def test_blocks_change_as_those_of_a_host_pool_do(pool: DevicePool) -> None:
    with KvPool(LAYOUT, 6) as host:
        size = host.block_bytes
        flat = pool.tensor.view(torch.uint8).flatten()
        host.view[: 6 * size] = bytes(flat[: 6 * size].tolist())
        for one in (pool, host):
            one.zero_block(1)
            one.copy_block(3, 2)
            one.zero_tail(4, 5)

        assert bytes(flat[: 6 * size].tolist()) == bytes(host.view[: 6 * size])


def test_what_goes_through_the_stage_comes_back_the_same(pool: DevicePool) -> None:
    stage = pool.stage(3)
    before = pool.tensor[[5, 0]].clone()

    stage.to_host([5, 0], [2, 1])
    pool.zero_block(5)
    stage.to_device([2, 1], [3, 4])

    assert torch.equal(pool.tensor[[3, 4]], before)
    size = pool.block_bytes
    seen = torch.frombuffer(stage.memory.view, dtype=torch.uint8, count=3 * size).clone()
    assert torch.equal(seen[2 * size :], before[0].view(torch.uint8).flatten())
    stage.close()


def test_what_the_pool_gives_up_is_kept_in_slots(pool: DevicePool) -> None:
    slots = DeviceStorage(CPU).slots(pool, 2)
    before = pool.tensor[4].clone()

    slots.keep(4, 1)
    slots.bring(1, 0)

    assert slots.num_slots == 2
    assert torch.equal(pool.tensor[0], before)
    slots.close()
    slots.close()


def test_a_stage_that_the_host_cannot_hold_says_what_to_lower(
    pool: DevicePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baton.engine.blocks.kv_pool.available_memory", lambda: 0)

    with pytest.raises(SettingsError, match="lower --max-model-len"):
        pool.stage(3)
    with pytest.raises(SettingsError, match="lower --kv-offloading-size"):
        DeviceStorage(CPU).slots(pool, 3)


def test_without_a_cuda_device_only_its_wish_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    assert choose_device("cpu") == CPU
    with pytest.raises(SettingsError, match=r"--device cuda:1 is not possible: .*--device cpu"):
        choose_device("cuda:1")


def test_a_device_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == CPU
    with pytest.raises(SettingsError, match="sees 2 CUDA devices"):
        choose_device("cuda:2")
