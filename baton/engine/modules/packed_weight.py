"""A weight as the C++ kernels read it: once in memory, and for oneDNN as well where that has units
for matrices.
"""

import ctypes

import torch
from torch import Tensor
from torch.nn.functional import pad

from baton.engine.machine.host_cores import cpu_flags
from baton.engine.modules.kernels import Kernels, Matrix, floats_of
from baton.engine.modules.quantised import dequantised, quantised

PANEL = 64  # outputs that lie together
_INPUTS = 32  # of bfloat16, padded to a multiple, as oneDNN has it
# Rows from which oneDNN on matrix units is faster than the kernel's vectors, which read a weight no
# slower but compute less. Not measured on such a machine: an estimate from what either was seen to do.
MATRIX_UNITS_FROM = 9


class PackedWeight:
    """`weight` is [outputs, inputs], which need not be kept; `bias` [outputs] or None."""

    def __init__(self, kernels: Kernels, weight: Tensor, bias: Tensor | None) -> None:
        self.outputs, self.inputs = weight.shape
        self.dtype = weight.dtype
        self._kernels = kernels
        self._scales: Tensor | None = None
        if kernels.int8:
            whole, scales = quantised(weight)
            self._panels, self._scales = pack(whole, self.dtype), floats_of(scales, PANEL)
        else:
            self._panels = pack(weight, self.dtype)  # its memory is read by every call
        self._bias = bias
        self._floats = None if bias is None else floats_of(bias, PANEL)
        self._mkldnn: Tensor | None = None
        units = kernels.matrix_units and "amx_bf16" in cpu_flags()
        if units and weight.dtype == torch.bfloat16 and not kernels.int8:
            self._share_with_mkldnn(weight)
        if self._mkldnn is None:
            panels = kernels.memory.take(tuple(self._panels.shape), self._panels.dtype)
            self._panels = panels.copy_(self._panels)
        floats, scales_at = (
            None if one is None else one.data_ptr() for one in (self._floats, self._scales)
        )
        self.matrix = Matrix(self._panels.data_ptr(), floats, scales_at, self.inputs, self.outputs)

    @property
    def nbytes(self) -> int:
        return self._panels.nbytes

    def takes_matrix_units(self, rows: int) -> bool:
        return self._mkldnn is not None and rows >= MATRIX_UNITS_FROM

    def multiply(self, states: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        if not self.takes_matrix_units(states.numel() // self.inputs):
            return self._kernels.linear(self.matrix, states)
        output: Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self._mkldnn, self._bias, "none", [], ""
        )
        return output

    def rows(self, numbers: Tensor) -> Tensor:
        """Of the weight, [..., inputs]; `numbers` are int64."""
        panel, column = numbers // PANEL, numbers % PANEL
        rows = self._panels[panel, :, column]
        if self.dtype == torch.bfloat16:
            rows = rows.flatten(-2)[..., : self.inputs]  # of pairs
        if self._scales is None:
            return rows
        return dequantised(rows, self._scales[numbers], self.dtype)

    def _share_with_mkldnn(self, weight: Tensor) -> None:
        """If oneDNN packs into the very same bytes, one copy serves both."""
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
        if torch.ops.mkldnn._nbytes(packed) != self._panels.nbytes:
            return
        size = self._panels.numel()
        address = torch.ops.mkldnn.data_ptr(packed)
        theirs = torch.frombuffer(
            (ctypes.c_int16 * size).from_address(address), dtype=torch.bfloat16
        ).view_as(self._panels)
        if torch.equal(theirs.view(torch.int16), self._panels.view(torch.int16)):
            self._panels, self._mkldnn = theirs, packed


def pack(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """For activations in bfloat16: [panel][inputs / 2][64][2], inputs padded to 32; in others:
    [panel][inputs][64].
    """
    outputs, inputs = weight.shape
    pairs = dtype == torch.bfloat16
    more = -inputs % _INPUTS if pairs else 0
    whole = pad(weight.detach(), (0, more, 0, -outputs % PANEL))
    if pairs:
        return whole.view(-1, PANEL, whole.shape[1] // 2, 2).permute(0, 2, 1, 3).contiguous()
    return whole.view(-1, PANEL, inputs).transpose(1, 2).contiguous()
