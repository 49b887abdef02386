"""The modelled pool: what fits, what is found, what goes first; followed by the gateway's index."""

import random

import pytest

from baton.cluster.simulator.kv_cache import Holding, KvCache
from gateway.prefixes.prefix_index import PrefixIndex


def used(cache: KvCache, keys: list[int], strides: int) -> int:
    """A request from its beginning to its end; what it found."""
    holding = cache.take(keys, strides)
    assert holding is not None
    cache.computed(holding, len(keys))
    cache.release(holding, written=True)
    return holding.cached


def test_a_beginning_is_found_again() -> None:
    cache = KvCache(10)
    assert used(cache, [1, 2, 3], 4) == 0
    assert used(cache, [1, 2, 9], 4) == 2


def test_what_runs_holds_its_room() -> None:
    cache = KvCache(5)
    first = cache.take([1, 2], 4)
    assert first is not None
    assert cache.take([3], 2) is None
    cache.release(first)
    assert cache.take([3], 5) is not None


def test_who_shares_a_beginning_needs_room_for_the_rest_only() -> None:
    cache = KvCache(5)
    first = cache.take([1, 2], 3)
    assert first is not None
    cache.computed(first, 2)
    assert cache.take([1, 2, 3], 4) is not None
    assert cache.free == 0


def test_a_cached_beginning_is_no_room_for_its_own_rest() -> None:
    cache = KvCache(3)
    used(cache, [1, 2, 3], 3)
    assert cache.take([1, 2, 7], 4) is None
    assert cache.take([1, 2, 7], 3) is not None


def test_the_oldest_goes_first_and_children_before_parents() -> None:
    cache = KvCache(4)
    used(cache, [1, 2, 3], 3)
    used(cache, [7], 1)
    assert used(cache, [8], 1) == 0  # which takes the room of 3
    assert used(cache, [1, 2, 3], 3) == 2


def test_two_that_compute_the_same_leave_one_copy() -> None:
    cache = KvCache(4)
    both = [cache.take([1, 2], 2) for _ in range(2)]
    for one in both:
        assert one is not None
        cache.computed(one, 2)
    assert cache.free == 2
    for one in both:
        assert one is not None
        cache.release(one)
    assert cache.room == 4


@pytest.mark.parametrize("seed", range(3))
def test_the_gateways_index_knows_what_is_there(seed: int) -> None:
    draw, cache, index = random.Random(seed), KvCache(40), PrefixIndex()
    chains = [[100 * c + at // (1 + c % 2) * 7 + at for at in range(8)] for c in range(12)]
    running: list[Holding] = []
    for _ in range(400):
        keys = draw.choice(chains)[: draw.randint(1, 8)]
        if (taken := cache.take(keys, len(keys) + draw.randint(0, 2))) is not None:
            running.append(taken)
        if running and draw.random() < 0.6:
            one = running.pop(draw.randrange(len(running)))
            cache.computed(one, draw.randint(0, len(one.keys)))
            cache.release(one, written=draw.random() < 0.5)
        if draw.random() < 0.3 and (change := cache.news()) is not None:
            assert index.hear("w", change)
        if draw.random() < 0.02:
            cache.tell_all()
    if (change := cache.news()) is not None:
        assert index.hear("w", change)
    for one in running:
        cache.release(one)
    assert cache.room == 40
    for chain in chains:
        looked = cache.take(chain, len(chain))
        assert looked is not None
        assert index.held(chain).get("w", 0) == looked.cached
        cache.release(looked)
    index.check_integrity()
