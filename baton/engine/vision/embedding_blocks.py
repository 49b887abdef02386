"""Embeddings of images in a pool's blocks: written where they were encoded, read where they came."""

from collections.abc import Sequence

import torch
from torch import Tensor

from baton.core.embeddings import BLOCK_TOKENS
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.blocks.paged_tensor import TORCH_DTYPES


class EmbeddingBlocks:
    """Rows of embeddings, a block after the other; see `baton.core.embeddings`."""

    def __init__(self, pool: KvPool) -> None:
        """`pool` has an `embeddings_layout`."""
        layout = pool.layout
        self._rows = torch.frombuffer(
            pool.view,
            dtype=TORCH_DTYPES[layout.dtype],
            count=pool.num_blocks * BLOCK_TOKENS * 2 * layout.head_dim,
        ).view(pool.num_blocks, BLOCK_TOKENS, 2 * layout.head_dim)

    def write(self, blocks: Sequence[int], embeddings: Tensor) -> None:
        """[tokens, width] into as many blocks as they fill; behind the last of them zeros."""
        for number, block in enumerate(blocks):
            rows = embeddings[number * BLOCK_TOKENS :][:BLOCK_TOKENS]
            self._rows[block, : len(rows)] = rows
            self._rows[block, len(rows) :] = 0

    def read(self, blocks: Sequence[int], tokens: int) -> Tensor:
        """A copy, [tokens, width]."""
        return self._rows[list(blocks)].flatten(0, 1)[:tokens].clone()

    def copy(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        for source, target in zip(sources, targets, strict=True):
            self._rows[target] = self._rows[source]

    def close(self) -> None:
        """Before the pool is: no view of it may be left."""
        del self._rows
