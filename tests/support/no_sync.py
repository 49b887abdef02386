"""Finds operations for which a host would have to wait for a device, also where both are the CPU."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Their result, or the shape of it, is a number on the host.
WAITING = frozenset(
    {
        "aten::_local_scalar_dense",
        "aten::equal",
        "aten::is_nonzero",
        "aten::item",
        "aten::masked_select",
        "aten::nonzero",
        "aten::_unique2",
        "aten::unique_consecutive",
        "aten::unique_dim",
        "aten::repeat_interleave.Tensor",
    }
)


class HostWaits(AssertionError):
    """An operation between schedule and the result waits for the device."""


class NoHostSync(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises HostWaits where an operation needs a number of a tensor on the host.

    Indexing with a tensor of bools is one of them: it counts the ones. Once `over` is set it lets
    everything pass.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.over = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.name()
        if self.over:
            return func(*args, **(kwargs or {}))
        if name in WAITING or name.split(".")[0] in WAITING:
            raise HostWaits(name)
        if name.startswith("aten::index") and _has_bools(args):
            raise HostWaits(f"{name} by bools")
        return func(*args, **(kwargs or {}))


def _has_bools(args: Sequence[Any]) -> bool:
    groups = [arg for arg in args[1:] if isinstance(arg, list | tuple)]
    return any(
        isinstance(one, Tensor) and one.dtype is torch.bool for group in groups for one in group
    )
