"""Weights in int8: whole numbers of one byte, with a scale for each output."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from baton.core.errors import SettingsError

_MOST = 127
# A scale has at most 16 digits (of 24), so 127 times it is exact, and what was rounded once comes out
# the same when it is rounded again.
_SPARE = (1 << 8) - 1


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """[outputs, inputs] -> int8 of that shape, and float32 [outputs]."""
    values = weight.detach().float()
    largest = values.abs().amax(dim=1) / _MOST
    scales = ((largest.view(torch.int32) + _SPARE) & ~_SPARE).view(torch.float32)
    scales = scales.masked_fill(scales == 0, 1.0)
    return (values / scales[:, None]).round_().to(torch.int8), scales


def dequantised(whole: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """`scales` are of all but the last dimension of `whole`."""
    return (whole.float() * scales[..., None]).to(dtype)


def round_weights(linears: Iterable[nn.Linear]) -> int:
    """Gives them, and whoever shares their weights, those that int8 can say; returns how many.

    Raises SettingsError where a weight is not a number.
    """
    done: set[int] = set()
    for linear in linears:
        if id(linear.weight) not in done:
            done.add(id(linear.weight))
            if not linear.weight.isfinite().all():
                raise SettingsError("--quantization int8: a weight of the model is not a number")
            linear.weight.data = dequantised(*quantised(linear.weight), linear.weight.dtype)
    return len(done)
