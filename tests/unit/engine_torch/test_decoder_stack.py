"""A model called part after part says the bits that its class says, or is not called so."""

import os
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.kernel_build import LEVELS, default_recipe
from baton.engine.kv_shape import call_model
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.modules.decoder_stack import DecoderStack, decoder_stack
from baton.engine.modules.kernels import Kernels
from baton.engine.modules.layer_check import ProbeStep
from baton.engine.modules.rotary_table import RotaryTable
from baton.engine.modules.swap import swap_modules
from baton.engine.modules.workspace import Workspace
from tests.support.kernels import kernels as library
from tests.support.models import FAMILIES, make
from tests.support.paged_rows import PagedRows

PLAIN = {"Llama", "Mistral", "Qwen2", "Qwen3"}  # nothing stands around their layers
BEST = default_recipe(os.environ).level


def swapped(folder: Path, family: str, dtype: str, level: str = BEST) -> Checkpoint:
    checkpoint = load_checkpoint(str(make(family, folder / family)), dtype)
    kernels = Kernels(library(level))
    swap_modules(checkpoint.model, checkpoint.kv_shape, kernels)
    return checkpoint


def stack_of(checkpoint: Checkpoint) -> DecoderStack | None:
    return decoder_stack(checkpoint.model, checkpoint.vocab_size, checkpoint.max_model_len)


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_says_the_bits_that_the_models_class_says(
    tmp_path: Path, family: str, dtype: str
) -> None:
    checkpoint = swapped(tmp_path, family, dtype)
    stack = stack_of(checkpoint)
    if stack is None:
        assert family not in PLAIN
        return
    tokens = torch.randint(900, (70,), generator=torch.Generator().manual_seed(5))
    positions = torch.cat([torch.arange(50), torch.arange(7, 27)])
    with torch.inference_mode():
        for read in ([49, 69], [], list(range(70))):
            rows = torch.tensor(read, dtype=torch.int64)
            expected = call_model(checkpoint.model, tokens, positions, rows, ProbeStep())
            assert torch.equal(stack.logits(tokens, positions, rows, ProbeStep()), expected)


def check_in_one_go(checkpoint: Checkpoint, built: Any) -> None:
    stack = stack_of(checkpoint)
    assert stack is not None
    assert stack.run is not None
    # Few, so that the last layer parts them; none; most of them; all.
    for read in ([36, 41], [], [*range(5, 43)], None):
        by_class, in_one_go = (
            PagedRows(checkpoint, built),
            PagedRows(checkpoint, built, stack.logits),
        )
        assert torch.equal(in_one_go.logits(read), by_class.logits(read))
        assert torch.equal(in_one_go.pool, by_class.pool)


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
@pytest.mark.parametrize("family", sorted(PLAIN))
def test_all_layers_in_one_go_say_what_they_say_one_by_one(
    tmp_path: Path, family: str, dtype: str
) -> None:
    check_in_one_go(swapped(tmp_path, family, dtype), library(BEST))


@pytest.mark.parametrize("level", LEVELS)
def test_in_one_go_with_every_kind_of_instructions(tmp_path: Path, level: str) -> None:
    check_in_one_go(swapped(tmp_path, "Mistral", "bfloat16", level), library(level))


def test_the_memory_of_a_long_step_is_not_kept(tmp_path: Path) -> None:
    checkpoint = swapped(tmp_path, "Llama", "float32")
    base: Any = checkpoint.model.base_model
    workspace = base.layers[0].workspace
    stack = stack_of(checkpoint)
    assert stack is not None
    for say in (stack.logits, None):  # all layers together, and one by one
        PagedRows(checkpoint, library(BEST), say).logits([])
        space = weakref.ref(workspace.of(43))
        workspace.of(1)
        assert space() is None


def test_layers_that_hand_on_in_other_memory_are_called_one_by_one(tmp_path: Path) -> None:
    checkpoint = swapped(tmp_path, "Llama", "float32")
    base: Any = checkpoint.model.base_model
    layer = base.layers[1]
    layer.workspace = Workspace(layer.workspace.sizes)
    stack = stack_of(checkpoint)

    assert stack is not None
    assert stack.run is None


def test_a_model_whose_layers_are_its_own_is_called_as_it_is(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(str(make("Llama", tmp_path / "Llama")), "float32")

    assert stack_of(checkpoint) is None


def test_a_model_that_does_more_around_its_layers_is_called_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = swapped(tmp_path, "Llama", "float32")
    base = checkpoint.model.base_model
    forward = base.forward

    def louder(*args: object, **kwargs: object) -> object:
        output = forward(*args, **kwargs)
        output.last_hidden_state *= 2
        return output

    monkeypatch.setattr(base, "forward", louder)

    assert stack_of(checkpoint) is None


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_positions_that_change_are_computed_in_every_step(tmp_path: Path, kind: str) -> None:
    checkpoint = swapped(tmp_path, "Llama", "float32")
    base: Any = checkpoint.model.base_model
    base.rotary_emb.rope_type = kind

    assert stack_of(checkpoint) is None


class Rotary(torch.nn.Module):
    """Adds `wrong` where it is asked for more than one position."""

    wrong = 0.0

    def forward(self, states: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        angles = position_ids[..., None] * torch.tensor([1.0, 0.1])
        angles += self.wrong * (position_ids.shape[-1] > 1)
        return angles.cos().to(states.dtype), angles.sin().to(states.dtype)


def test_positions_behind_the_table_are_asked_for() -> None:
    table = RotaryTable(Rotary(), torch.float32, 8)
    positions = torch.tensor([3, 8, 70])
    expected = Rotary()(torch.empty(0), position_ids=positions[None])

    assert all(map(torch.equal, table.of(positions), expected))
    assert all(map(torch.equal, table.of(positions[:1]), (one[:, :1] for one in expected)))


def test_a_table_says_where_the_module_says_something_else() -> None:
    module = Rotary()
    table = RotaryTable(module, torch.float32, 100)

    assert table.is_true()
    module.wrong = 1e-3
    assert not RotaryTable(module, torch.float32, 100).is_true()
