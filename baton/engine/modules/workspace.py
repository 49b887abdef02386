"""Where a step's decoder layers write what they hand from part to part: one after the other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from baton.engine.modules.kernels import DecoderBatch


@dataclass(frozen=True, slots=True)
class LayerSizes:
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    dtype: torch.dtype


class Space:
    """That of `rows` tokens; `batch` points to it."""

    def __init__(self, sizes: LayerSizes, rows: int) -> None:
        self.normed = torch.empty(rows, sizes.hidden, dtype=sizes.dtype)
        self.projected = torch.empty_like(self.normed)
        heads = sizes.heads + 2 * sizes.kv_heads
        self.qkv = torch.empty(rows, heads, sizes.head_dim, dtype=sizes.dtype)
        self.attended = torch.empty(rows, sizes.heads, sizes.head_dim, dtype=sizes.dtype)
        self.gated = torch.empty(rows, sizes.inner, dtype=sizes.dtype)
        self.gate_up = torch.empty(rows, 2 * sizes.inner, dtype=sizes.dtype)
        self.query, self.key, self.value = split_heads(self.qkv, sizes)
        self.batch = DecoderBatch(
            normed=self.normed.data_ptr(),
            qkv=self.qkv.data_ptr(),
            projected=self.projected.data_ptr(),
            gate_up=self.gate_up.data_ptr(),
            gated=self.gated.data_ptr(),
            rows=rows,
        )

    def batch_of(self, states: Tensor, output: Tensor, cos: Tensor, sin: Tensor) -> DecoderBatch:
        """Good until the next call. `attended` is left as it was."""
        batch = self.batch
        batch.states, batch.output = states.data_ptr(), output.data_ptr()
        batch.cos, batch.sin = cos.data_ptr(), sin.data_ptr()
        batch.threads = torch.get_num_threads()
        return batch


class Workspace:
    """One for all layers of these sizes; used by one step at a time."""

    def __init__(self, sizes: LayerSizes) -> None:
        self.sizes = sizes
        self._space = Space(sizes, 1)

    def of(self, rows: int) -> Space:
        if self._space.batch.rows != rows:
            self._space = Space(self.sizes, rows)
        return self._space


def split_heads(qkv: Tensor, sizes: LayerSizes) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of [rows, heads + 2 kv_heads, head_dim]."""
    keys, values = sizes.heads, sizes.heads + sizes.kv_heads
    return qkv[:, :keys], qkv[:, keys:values], qkv[:, values:]
