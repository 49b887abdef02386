"""Linear layers in bfloat16 whose weight lies as oneDNN wants it: a sixth to a quarter faster."""

import logging
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from baton.engine.modules.linear_check import difference
from baton.engine.vision.tower import language_modules

logger = logging.getLogger(__name__)

# Largest difference to the layer that is replaced, in parts of its largest output: two steps of
# bfloat16. The order of summation moves a number by one.
TOLERANCE = 2 * torch.finfo(torch.bfloat16).eps
_ROWS = (4, 1, 64)  # that it is compared on: the first each layer, the others each shape


class PackedLinear(nn.Module):
    """`weight` has shape and dtype for those who ask, but no data: that is packed."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach()
        self.weight = nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=False)
        self.bias = linear.bias
        self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)

    def forward(self, states: Tensor) -> Tensor:
        output: Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self._packed, self.bias, "none", [], ""
        )
        return output


def pack_linears(model: nn.Module) -> int:
    """Replaces the linear layers that come out the same; returns how many.

    A replaced layer's weight is dropped, unless somebody else uses it, as a tied embedding does.
    """
    tried: set[tuple[int, int, bool]] = set()
    replaced = 0
    with torch.inference_mode():
        for parent, name, linear in list(_linears(model)):
            kind = (linear.in_features, linear.out_features, linear.bias is not None)
            packed = PackedLinear(linear)
            moved = difference(linear, packed, _ROWS[:1] if kind in tried else _ROWS)
            tried.add(kind)
            if not moved <= TOLERANCE:  # a NaN is no answer either
                logger.warning(
                    "%s of %d x %d is left as it was: packed, it differs by %.2g (%.2g allowed)",
                    *(name, linear.out_features, linear.in_features, moved, TOLERANCE),
                )
                continue
            setattr(parent, name, packed)
            replaced += 1
    return replaced


def _linears(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """Of just this class: a subclass may compute something else."""
    for parent in language_modules(model):
        for name, child in parent.named_children():
            if type(child) is nn.Linear and child.weight.dtype == torch.bfloat16:
                yield parent, name, child
