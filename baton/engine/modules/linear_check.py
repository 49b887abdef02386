"""How far a stand-in for a linear layer is from the layer itself."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def difference(
    linear: nn.Linear, stand_in: Callable[[Tensor], Tensor], rows: Sequence[int]
) -> float:
    """The largest over batches of so many random rows, as a share of the largest output; infinite
    where it is no number.
    """
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for count in rows:
        states = torch.randn(count, linear.in_features, generator=generator)
        states = states.to(linear.weight.dtype)
        expected = linear(states).float()
        moved = (stand_in(states).float() - expected).abs().max() / expected.abs().max()
        largest = max(largest, float(moved.nan_to_num(nan=torch.inf)))
    return largest
