"""The hash of `baton.core.sampling_hash` on int64 tensors, bit for bit.

Tensors have no unsigned 64-bit arithmetic: two's complement wraps the same way in sums and
products, and a shift to the right clears the copies of the sign that it drags in.
"""

import torch
from torch import Tensor

from baton.core.sampling_hash import GOLDEN, MIX_1, MIX_2

TOP = 1 << 52  # `mantissa` is below it


def signed(word: int) -> int:
    """The int64 with the bits of an unsigned 64-bit `word`."""
    return word - (1 << 64) if word >> 63 else word


def mix(words: Tensor) -> Tensor:
    """`sampling_hash.mix` of each element; int64 to int64, a new tensor."""
    mixed = words + signed(GOLDEN)
    mixed.bitwise_xor_(_shifted(mixed, 30)).mul_(signed(MIX_1))
    mixed.bitwise_xor_(_shifted(mixed, 27)).mul_(signed(MIX_2))
    return mixed.bitwise_xor_(_shifted(mixed, 31))


def mantissa(keys: Tensor, token_ids: Tensor) -> Tensor:
    """The 52 random bits of each (key, token id), broadcast; 0 <= int64 < TOP."""
    return _shifted(mix(keys ^ token_ids), 12)


def uniform(bits: Tensor) -> Tensor:
    """`sampling_hash.uniform` from its `mantissa`: float64 in (0, 1)."""
    return bits.to(torch.float64).add_(0.5).mul_(2.0**-52)


def complement(bits: Tensor) -> Tensor:
    """1 - uniform as float32, exact to the last place even where uniform is next to 1."""
    return (TOP - bits).to(torch.float64).sub_(0.5).mul_(2.0**-52).to(torch.float32)


def gumbel(bits: Tensor) -> Tensor:
    """`sampling_hash.gumbel` from its `mantissa`: float64."""
    return uniform(bits).log_().neg_().log_().neg_()


def _shifted(words: Tensor, count: int) -> Tensor:
    return (words >> count).bitwise_and_((1 << (64 - count)) - 1)
