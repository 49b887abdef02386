"""Rotary positions that are looked up instead of being computed anew in every step."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

LENGTH = 16384  # positions: 8 MiB for heads of 128 numbers in bfloat16
_PART = 1024  # positions that the module is asked for at once
_GROUPS = (1, 1, 1, 2, 7, 33, 150)  # positions of the calls that the table is compared with
_CHANGING = {"dynamic", "longrope"}  # kinds whose frequencies hang on the longest sequence seen


class RotaryTable:
    """What a model's rotary module says of the first positions; of those behind them it is asked."""

    def __init__(self, module: nn.Module, dtype: torch.dtype, length: int) -> None:
        """`length`: of the model, positions."""
        self._module = module
        self._like = torch.empty(0, dtype=dtype)  # the module reads dtype and device off it
        self._length = min(length, LENGTH)
        parts = [
            self._asked(torch.arange(first, min(first + _PART, self._length)))
            for first in range(0, self._length, _PART)
        ]
        self._cos, self._sin = (torch.cat(part, dim=1)[0] for part in zip(*parts, strict=True))

    def of(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, [1, tokens, rotary] each; `positions` are int64 [tokens]."""
        if int(positions.max()) >= self._length:
            return self._asked(positions)
        cos, sin = (one.index_select(0, positions) for one in (self._cos, self._sin))
        return cos[None], sin[None]

    def is_true(self) -> bool:
        """Whether the module says the same bits, however many positions it is asked for at once."""
        generator = torch.Generator().manual_seed(0)
        groups = [torch.randint(self._length, (n,), generator=generator) for n in _GROUPS]
        return all(_equal(self.of(group), self._asked(group)) for group in groups)

    def _asked(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = self._module(self._like, position_ids=positions[None])
        return cos, sin


def changes(module: Any) -> bool:
    """Whether what it says of a position may be another thing later, or in another layer."""
    kind = getattr(module, "rope_type", None)  # a dictionary: by the kind of a layer
    return not isinstance(kind, str) or kind in _CHANGING


def _equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(map(torch.equal, found, expected))
