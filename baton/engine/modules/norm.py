"""RMS norms, found by what they compute: with the weight as it is or one more, rounded once or twice."""

from typing import Any

import torch
from torch import Tensor, nn

from baton.engine.modules.kernels import VECTOR, Kernels, Norm, floats_of

# Largest difference to the module, in parts of its largest number: a step of the dtype and a little.
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}
_SCALES = (1.0, 1e-3, 30.0)  # of the rows that are compared: in the second one epsilon matters


class KernelNorm(nn.Module):
    """`weight` is the module's own, as `floats` has it for the kernel."""

    def __init__(self, module: nn.Module, kernels: Kernels, floats: Tensor, rounds: bool) -> None:
        super().__init__()
        self.weight: nn.Parameter = module.weight  # type: ignore[assignment]
        self._kernels = kernels
        self._floats = floats  # its memory is read by every call
        size = self.weight.numel()
        self.norm = Norm(floats.data_ptr(), _epsilon(module) or 0.0, size, rounds)

    def forward(self, states: Tensor) -> Tensor:
        return self._kernels.norm(self.norm, states)


def kernel_norm(module: nn.Module, kernels: Kernels) -> KernelNorm | None:
    """None where the module is no RMS norm that the kernel knows. Whoever calls allows no gradients."""
    weight = getattr(module, "weight", None)
    if _epsilon(module) is None or not isinstance(weight, nn.Parameter) or weight.dim() != 1:
        return None
    if len(list(module.parameters())) != 1 or weight.dtype not in _TOLERANCE:
        return None
    shapes: list[tuple[Tensor, bool]] = [
        (weight, True),
        (weight, False),
        (weight.float() + 1, False),
    ]
    found = [
        KernelNorm(module, kernels, floats_of(values, VECTOR), rounds) for values, rounds in shapes
    ]
    best = min(found, key=lambda norm: _difference(module, norm))
    return best if _difference(module, best) <= _TOLERANCE[weight.dtype] else None


def _epsilon(module: Any) -> float | None:
    for name in ("variance_epsilon", "eps", "epsilon"):
        value = getattr(module, name, None)
        if isinstance(value, float):
            return value
    return None


def _difference(module: nn.Module, norm: KernelNorm) -> float:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(len(_SCALES), norm.norm.size, generator=generator)
    states = (states * torch.tensor(_SCALES)[:, None]).to(norm.weight.dtype)
    try:
        expected: Tensor = module(states).float()
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return float("inf")  # it takes something else
    found = norm(states).float()
    if expected.shape != found.shape:
        return float("inf")
    moved = (found - expected).abs().amax(dim=1) / expected.abs().amax(dim=1)
    return float(moved.max().nan_to_num(nan=torch.inf))
