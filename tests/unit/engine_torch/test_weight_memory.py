"""Weights stand apart in memory that is theirs, and leave it when nobody reads them any more."""

import gc
import weakref

import torch

from baton.engine.modules import weight_memory
from baton.engine.modules.weight_memory import WeightMemory


def test_tensors_do_not_overlap_and_begin_at_cache_lines() -> None:
    memory = WeightMemory()
    ones = [memory.take((3, 5), torch.bfloat16).fill_(n) for n in range(4)]
    assert [set(one.flatten().tolist()) for one in ones] == [{0}, {1}, {2}, {3}]
    assert all(one.data_ptr() % 64 == 0 for one in ones)


def test_a_weight_larger_than_an_arena_gets_its_own() -> None:
    memory = WeightMemory()
    numbers = weight_memory._ARENA + 64
    memory.take((10,), torch.float32)
    large = memory.take((numbers,), torch.int8)
    large[-1] = 7
    assert large.shape == (numbers,)
    assert not large[:-1].any()


def test_nothing_is_as_well_a_shape() -> None:
    assert WeightMemory().take((0, 4), torch.float32).shape == (0, 4)


def test_memory_goes_with_the_last_tensor_and_the_one_that_gave_it() -> None:
    memory = WeightMemory()
    weight = memory.take((10,), torch.float32)
    arena = weakref.ref(memory._arena)
    del memory
    gc.collect()
    assert arena() is not None
    del weight
    gc.collect()
    assert arena() is None
