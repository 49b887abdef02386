"""Steps of a model over a pool of its own, by way of the C++ attention."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from baton.engine.attention.cpu_kernel import CpuKernel, CpuKernelStep
from baton.engine.kv_shape import call_model
from baton.engine.loading.checkpoint import Checkpoint
from baton.engine.plan import Slice, StepPlan

TOKENS = torch.randint(900, (200,), generator=torch.Generator().manual_seed(1))

Say = Callable[[Tensor, Tensor, Tensor, CpuKernelStep], Tensor]  # tokens, positions, rows, step


class PagedRows:
    """Three sequences in a pool of their own: 60 tokens of the first and 20 of the second are read,
    then 37 and 5 more beside one of the third.
    """

    past = ((0, 0, 0), (60, 20, 0))
    rows = ((60, 20, 0), (37, 5, 1))
    blocks = ((9, 2, 0, 1, 7, 3, 8), (4, 6), (5,))

    def __init__(self, checkpoint: Checkpoint, built: Any, say: Say | None = None) -> None:
        """`say` None: what the model's class says."""
        shape = checkpoint.kv_shape
        size = (10, shape.num_layers, 2, shape.num_kv_heads, 16, shape.head_dim)
        self.pool = torch.zeros(size, dtype=checkpoint.model.dtype)
        self._backend = CpuKernel(self.pool, built)
        self._say = say or partial(call_model, checkpoint.model)

    def inputs(self, number: int) -> tuple[Tensor, Tensor, CpuKernelStep]:
        slices: list[Slice] = []
        for past, rows, blocks in zip(
            self.past[number], self.rows[number], self.blocks, strict=True
        ):
            if rows:
                taken = tuple(TOKENS[past : past + rows].tolist())
                slices.append(Slice(taken, past, blocks, ()))
        plan = StepPlan(tuple(slices))
        tokens = torch.tensor([token for piece in slices for token in piece.tokens])
        positions = torch.tensor([p for piece in slices for p in range(piece.start, piece.end)])
        return tokens, positions, self._backend.prepare(plan)

    def logits(self, read: list[int] | None) -> Tensor:
        """Of the second step's rows `read`, or of all."""
        for number in range(2):
            tokens, positions, step = self.inputs(number)
            every = torch.arange(len(tokens))
            rows = every if read is None else torch.tensor(read, dtype=torch.int64)
            with torch.inference_mode():
                said = self._say(tokens, positions, rows if number else every[:1], step)
        return said
