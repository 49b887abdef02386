"""The last layer computes what is read, with the bits that it would have among all rows."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.kernel_build import LEVELS, default_recipe
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.modules.kernels import Kernels
from baton.engine.modules.swap import swap_modules
from baton.engine.sampling.logits_parts import logits_in_parts
from tests.support.kernels import kernels as library
from tests.support.models import FAMILIES, make
from tests.support.paged_rows import PagedRows

WHOLE = [family for family in FAMILIES if family != "Phi"]  # Phi's layers are built otherwise
BEST = default_recipe(os.environ).level


def swapped(family: str, folder: Path, dtype: str, built: Any) -> Checkpoint:
    checkpoint = load_checkpoint(str(make(family, folder)), dtype)
    swap_modules(checkpoint.model, checkpoint.kv_shape, Kernels(built))
    return checkpoint


def check(checkpoint: Checkpoint, built: Any) -> None:
    said: list[Tensor] = []
    hook = checkpoint.model.base_model.register_forward_hook(
        lambda *call: said.append(call[-1].last_hidden_state)
    )
    whole = PagedRows(checkpoint, built)
    expected = whole.logits(None)
    # Where slices end; a row among others, a run of them, in no order; none, as in a chunk amid a prompt.
    for read in ([36, 41, 42], [3, 10, 11, 12, 40, 36, 10], []):
        ours = PagedRows(checkpoint, built)
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
    expected = PagedRows(checkpoint, built).logits(None)
    most = list(range(5, 43))
    assert torch.equal(PagedRows(checkpoint, built).logits(most), expected[most])


def test_logits_in_parts_find_all_their_rows_computed(tmp_path: Path) -> None:
    built = library(BEST)
    checkpoint = swapped("Llama", tmp_path / "model", "bfloat16", built)
    expected = PagedRows(checkpoint, built).logits(None)
    paged = PagedRows(checkpoint, built)
    paged.logits([])
    parts = [torch.tensor(rows) for rows in ([42], [0, 1, 2], [3, 4, 5], [42])]
    tokens, positions, step = paged.inputs(1)
    with torch.inference_mode():
        found = list(logits_in_parts(checkpoint.model, tokens, positions, parts, step))
    for rows, ours in zip(parts, found, strict=True):
        assert torch.equal(ours, expected[rows])
