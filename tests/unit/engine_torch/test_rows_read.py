"""The last layer computes what is read, with the bits that it would have among all rows."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baton.engine.attention.cpu_kernel import CpuKernel
from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.kernel_build import LEVELS, default_recipe
from baton.engine.kv_shape import call_model
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.modules.kernels import Kernels
from baton.engine.modules.swap import swap_modules
from baton.engine.plan import Slice, StepPlan
from baton.engine.sampling.logits_parts import logits_in_parts
from tests.support.kernels import kernels as library
from tests.support.models import FAMILIES, make

WHOLE = [family for family in FAMILIES if family != "Phi"]  # Phi's layers are built otherwise
BEST = default_recipe(os.environ).level
TOKENS = torch.randint(900, (200,), generator=torch.Generator().manual_seed(1))


class Paged:
    """Three sequences in a pool of their own: 60 tokens of the first and 20 of the second are read,
    then 37 and 5 more beside one of the third.
    """

    past = ((0, 0, 0), (60, 20, 0))
    rows = ((60, 20, 0), (37, 5, 1))
    blocks = ((9, 2, 0, 1, 7, 3, 8), (4, 6), (5,))

    def __init__(self, checkpoint: Checkpoint, built: Any) -> None:
        shape = checkpoint.kv_shape
        size = (10, shape.num_layers, 2, shape.num_kv_heads, 16, shape.head_dim)
        self.pool = torch.zeros(size, dtype=checkpoint.model.dtype)
        self._backend, self._model = CpuKernel(self.pool, built), checkpoint.model

    def inputs(self, number: int) -> tuple[Any, Tensor, Tensor, Any]:
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
        return self._model, tokens, positions, self._backend.prepare(plan)

    def logits(self, read: list[int] | None) -> Tensor:
        """Of the second step's rows `read`, or of all."""
        for number in range(2):
            model, tokens, positions, step = self.inputs(number)
            every = torch.arange(len(tokens))
            rows = every if read is None else torch.tensor(read, dtype=torch.int64)
            with torch.inference_mode():
                said = call_model(model, tokens, positions, rows if number else every[:1], step)
        return said


def swapped(family: str, folder: Path, dtype: str, built: Any) -> Checkpoint:
    checkpoint = load_checkpoint(str(make(family, folder)), dtype)
    swap_modules(checkpoint.model, checkpoint.kv_shape, Kernels(built))
    return checkpoint


def check(checkpoint: Checkpoint, built: Any) -> None:
    said: list[Tensor] = []
    hook = checkpoint.model.base_model.register_forward_hook(
        lambda *call: said.append(call[-1].last_hidden_state)
    )
    whole = Paged(checkpoint, built)
    expected = whole.logits(None)
    # Where slices end; a row among others, a run of them, in no order; none, as in a chunk amid a prompt.
    for read in ([36, 41, 42], [3, 10, 11, 12, 40, 36, 10], []):
        ours = Paged(checkpoint, built)
        assert torch.equal(ours.logits(read), expected[read])
        assert torch.equal(ours.pool, whole.pool)
        unread = [row for row in range(43) if row not in read]
        assert not said[-1][0, unread].any()
    hook.remove()


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
@pytest.mark.parametrize("family", WHOLE)
def test_of_every_family(tmp_path: Path, family: str, dtype: str) -> None:
    built = library(BEST)
    check(swapped(family, tmp_path / "model", dtype, built), built)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_for_every_kind_of_instructions(tmp_path: Path, level: str, dtype: str) -> None:
    built = library(level)
    check(swapped("Gemma3", tmp_path / "model", dtype, built), built)


def test_where_most_rows_are_read_they_stay_together(tmp_path: Path) -> None:
    built = library(BEST)
    checkpoint = swapped("Qwen3", tmp_path / "model", "bfloat16", built)
    expected = Paged(checkpoint, built).logits(None)
    most = list(range(5, 43))
    assert torch.equal(Paged(checkpoint, built).logits(most), expected[most])


def test_logits_in_parts_find_all_their_rows_computed(tmp_path: Path) -> None:
    built = library(BEST)
    checkpoint = swapped("Llama", tmp_path / "model", "bfloat16", built)
    expected = Paged(checkpoint, built).logits(None)
    paged = Paged(checkpoint, built)
    paged.logits([])
    parts = [torch.tensor(rows) for rows in ([42], [0, 1, 2], [3, 4, 5], [42])]
    model, tokens, positions, step = paged.inputs(1)
    with torch.inference_mode():
        found = list(logits_in_parts(model, tokens, positions, parts, step))
    for rows, ours in zip(parts, found, strict=True):
        assert torch.equal(ours, expected[rows])
