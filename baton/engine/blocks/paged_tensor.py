"""The pool's bytes as one tensor, without a copy."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from baton.core.layout import LayoutDescriptor

if TYPE_CHECKING:
    from baton.engine.blocks.kv_pool import KvPool

TORCH_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def paged_tensor(pool: "KvPool", layout: LayoutDescriptor) -> Tensor:
    """`[block][layer][K|V][kv_head][block_size][head_dim]`; keeps the pool's memory alive."""
    dtype = TORCH_DTYPES[layout.dtype]
    flat = torch.frombuffer(
        pool.view, dtype=dtype, count=pool.num_blocks * layout.block_bytes // dtype.itemsize
    )
    shape = (layout.num_layers, 2, layout.num_kv_heads, layout.block_size, layout.head_dim)
    return flat.view(pool.num_blocks, *shape)
