"""The hash on tensors is the core's hash, bit for bit."""

import random

import pytest
import torch

from baton.core import sampling_hash
from baton.engine.sampling import sampling_noise

EDGES = [0, 1, 2**31, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, sampling_hash.GOLDEN]


def words(count: int = 500) -> list[int]:
    rng = random.Random(1)
    return EDGES + [rng.getrandbits(64) for _ in range(count)]


def as_tensor(unsigned: list[int]) -> torch.Tensor:
    return torch.tensor([sampling_noise.signed(word) for word in unsigned])


def test_mixing_a_tensor_equals_mixing_each_number() -> None:
    mixed = sampling_noise.mix(as_tensor(words())).tolist()

    assert [word & sampling_hash.MASK for word in mixed] == [
        sampling_hash.mix(word) for word in words()
    ]


def test_mixing_leaves_its_argument_alone() -> None:
    before = as_tensor(words())
    after = before.clone()

    sampling_noise.mix(after)

    assert torch.equal(before, after)


@pytest.mark.parametrize("token_id", [0, 1, 151935, 2**20])
def test_uniforms_are_the_cores_to_the_last_bit(token_id: int) -> None:
    bits = sampling_noise.mantissa(as_tensor(words()), torch.tensor(token_id))

    assert sampling_noise.uniform(bits).tolist() == [
        sampling_hash.uniform(key, token_id) for key in words()
    ]


def test_gumbel_noise_is_the_cores() -> None:
    keys = [sampling_hash.row_key(seed, 3, 17) for seed in range(500)]

    noise = sampling_noise.gumbel(sampling_noise.mantissa(as_tensor(keys), torch.tensor(7)))

    expected = [sampling_hash.gumbel(key, 7) for key in keys]
    assert noise.tolist() == pytest.approx(expected, rel=1e-13)


def test_noise_is_finite_at_both_ends() -> None:
    ends = torch.tensor([0, sampling_noise.TOP - 1])

    assert torch.isfinite(sampling_noise.gumbel(ends)).all()
    assert (sampling_noise.complement(ends) > 0).all()


def test_the_complement_keeps_its_precision_next_to_one() -> None:
    bits = torch.tensor([sampling_noise.TOP - 1, sampling_noise.TOP - 3])

    assert sampling_noise.complement(bits).tolist() == [0.5 * 2.0**-52, 2.5 * 2.0**-52]
