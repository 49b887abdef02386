"""Linear layers, and the embedding that shares its weight with the last of them."""

from typing import Any

import torch
from torch import Tensor, nn

from baton.engine.modules.kernels import Kernels
from baton.engine.modules.packed_weight import PackedWeight


class KernelLinear(nn.Module):
    """`weight` has shape and dtype for those who ask, but no data: that is packed."""

    def __init__(self, linear: nn.Linear, kernels: Kernels) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = _only_shape(linear.weight)
        self.bias = linear.bias
        self.packed = PackedWeight(kernels, linear.weight, linear.bias)

    def forward(self, states: Tensor) -> Tensor:
        return self.packed.multiply(states)


class PackedEmbedding(nn.Module):
    """Takes its rows out of a packed weight, and leaves the rest to the class that it stands for."""

    def __init__(self, embedding: nn.Embedding, packed: PackedWeight) -> None:
        super().__init__()
        self.weight = _only_shape(embedding.weight)
        self._original: list[Any] = [embedding]  # no child: its weight is no parameter of the model
        self._packed = packed
        embedding.weight = self.weight

    def forward(self, tokens: Tensor) -> Tensor:
        [original] = self._original
        rows = self._packed.rows(tokens.flatten())
        original.weight = nn.Parameter(rows, requires_grad=False)
        numbers = torch.arange(len(rows)).view_as(tokens)
        output: Tensor = original(numbers)
        original.weight = self.weight
        return output


def _only_shape(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=False)
