"""The noise depends on seed, choice, position and token id, and on nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.core import sampling_hash
from baton.core.sampling_hash import MASK, gumbel, mix, row_key, uniform

SEED = st.integers(-(2**63), 2**63 - 1)


@given(SEED, st.integers(0, 100), st.integers(0, 2**20))
def test_choice_i_of_seed_s_is_choice_0_of_seed_s_plus_i(seed: int, i: int, position: int) -> None:
    assert row_key(seed, i, position) == row_key(seed + i, 0, position)


@given(st.integers(0, MASK), st.integers(0, 2**18))
def test_uniform_never_touches_its_ends(key: int, token: int) -> None:
    assert 0.0 < uniform(key, token) < 1.0
    gumbel(key, token)  # finite: no domain error


def test_the_highest_and_lowest_hash_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in (0, MASK):
        monkeypatch.setattr(sampling_hash, "mix", lambda _, word=word: word)
        assert 0.0 < uniform(0, 0) < 1.0
        gumbel(0, 0)


def test_mix_is_the_published_finaliser() -> None:
    # First outputs of SplitMix64 seeded with 0: each is the mix of a multiple of the increment.
    increment = 0x9E3779B97F4A7C15
    outputs = [mix(increment * i & MASK) for i in range(3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_uniform_noise_fills_the_interval_evenly() -> None:
    key = row_key(1, 0, 0)
    draws = [uniform(key, token) for token in range(10_000)]
    counts = [sum(i / 10 <= d < (i + 1) / 10 for d in draws) for i in range(10)]
    assert all(850 < count < 1150 for count in counts)
