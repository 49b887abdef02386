"""The kernels' layers, norms and linear layers say what the model's own say, or are not taken."""

import ctypes
import logging
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baton.engine.attention.backend import AttentionStep
from baton.engine.attention.cpu_kernel import CpuKernel
from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.kernel_build import LEVELS, default_recipe
from baton.engine.kv_shape import call_model
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.modules import packed_weight
from baton.engine.modules.decoder_layer import KernelDecoderLayer
from baton.engine.modules.kernels import Kernels
from baton.engine.modules.layer_check import ProbeStep
from baton.engine.modules.linear import KernelLinear, PackedEmbedding
from baton.engine.modules.norm import KernelNorm, kernel_norm
from baton.engine.modules.packed_weight import PackedWeight
from baton.engine.modules.release import release_files, weight_bytes
from baton.engine.modules.swap import swap_modules
from baton.engine.plan import Slice, StepPlan
from tests.support.kernels import kernels as library
from tests.support.models import FAMILIES, make

WHOLE = [family for family in FAMILIES if family != "Phi"]  # Phi's layers are built otherwise
# Of the logits' standard deviation: rounding through all layers.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
BEST = default_recipe(os.environ).level


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels(library(BEST))


def logits(checkpoint: Checkpoint, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    tokens = torch.randint(checkpoint.vocab_size, (rows,), generator=generator)
    every = torch.arange(rows)
    with torch.inference_mode():
        return call_model(checkpoint.model, tokens, every, every, ProbeStep()).float()


def swap(checkpoint: Checkpoint, kernels: Kernels) -> list[KernelDecoderLayer]:
    swap_modules(checkpoint.model, checkpoint.kv_shape, kernels)
    return [one for one in checkpoint.model.modules() if isinstance(one, KernelDecoderLayer)]


def compare(checkpoint: Checkpoint, kernels: Kernels, rows: tuple[int, ...]) -> int:
    """How many whole layers are replaced."""
    before = [logits(checkpoint, count) for count in rows]
    layers = swap(checkpoint, kernels)
    for count, expected in zip(rows, before, strict=True):
        moved = (logits(checkpoint, count) - expected).abs().max() / expected.std()
        assert moved < TOLERANCE[checkpoint.model.dtype]
    return len(layers)


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_says_what_it_said_before(
    tmp_path: Path, kernels: Kernels, family: str, dtype: str
) -> None:
    checkpoint = load_checkpoint(str(make(family, tmp_path / family)), dtype)
    replaced = compare(checkpoint, kernels, (1, 7, 150))

    assert replaced == (checkpoint.num_layers if family in WHOLE else 0)
    assert not any(type(module) is nn.Linear for module in checkpoint.model.modules())
    assert checkpoint.model.dtype == TORCH_DTYPES[dtype]


class Apart:
    """The same step, for layers that do not know it: they call it between two halves."""

    def __init__(self, step: AttentionStep) -> None:
        self.forward = step.forward


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("family", ["Gemma3", "Qwen3"])
def test_a_layer_in_one_go_says_what_its_halves_say(
    tmp_path: Path, level: str, family: str
) -> None:
    checkpoint = load_checkpoint(str(make(family, tmp_path / "model")), "bfloat16")
    built = library(level)
    swap(checkpoint, Kernels(built))
    shape = checkpoint.kv_shape
    size = (4, shape.num_layers, 2, shape.num_kv_heads, 16, shape.head_dim)
    tokens, every = torch.arange(1, 38), torch.arange(37)
    plan = StepPlan((Slice(tuple(tokens.tolist()), 0, (2, 0, 1), ()),))
    said: list[tuple[Tensor, Tensor]] = []
    for wrap in (Apart, lambda step: step):
        pool = torch.zeros(size, dtype=torch.bfloat16)
        step = wrap(CpuKernel(pool, built).prepare(plan))
        with torch.inference_mode():
            said.append((call_model(checkpoint.model, tokens, every, every, step), pool))

    (halves, halves_kv), (whole, whole_kv) = said
    assert torch.equal(halves, whole)
    assert torch.equal(halves_kv, whole_kv)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_for_every_kind_of_instructions(tmp_path: Path, level: str, dtype: str) -> None:
    checkpoint = load_checkpoint(str(make("Gemma3", tmp_path / "model")), dtype)
    assert compare(checkpoint, Kernels(library(level)), (1, 9)) == checkpoint.num_layers


def test_with_onednn_on_matrix_units(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kernels: Kernels
) -> None:
    """As far as a CPU without them shows it: one packed weight is read by both."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no bfloat16 here")
    monkeypatch.setattr(packed_weight, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    taken: list[int] = []
    plain = PackedWeight.takes_matrix_units

    def counted(self: PackedWeight, rows: int) -> bool:
        taken.append(plain(self, rows))
        return plain(self, rows)

    monkeypatch.setattr(PackedWeight, "takes_matrix_units", counted)
    checkpoint = load_checkpoint(str(make("Qwen3", tmp_path / "model")), "bfloat16")
    compare(checkpoint, kernels, (8, 9, 50))
    if not any(taken):
        pytest.skip("oneDNN packs in another way here")


def test_onednn_gets_nothing_where_its_sums_would_hang_on_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed_weight, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    weight = torch.randn(128, 64, dtype=torch.bfloat16)
    ours = PackedWeight(Kernels(library(BEST), matrix_units=False), weight, None)
    assert not ours.takes_matrix_units(1000)


class OffByAHalf:
    """A library whose norms come out wrong."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    def norm(self, norm: Any, states: Tensor) -> Tensor:
        return self._kernels.norm(norm, states) * 1.5


def test_what_comes_out_otherwise_is_left_with_a_line(
    tmp_path: Path, kernels: Kernels, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = load_checkpoint(str(make("Llama", tmp_path / "model")), "float32")
    expected = logits(checkpoint, 5)
    with caplog.at_level(logging.WARNING, "baton"):
        assert swap(checkpoint, OffByAHalf(kernels)) == []  # type: ignore[arg-type]

    assert "3 of 3 decoder layers (LlamaForCausalLM) are not replaced as a whole: " in caplog.text
    assert not any(isinstance(module, KernelNorm) for module in checkpoint.model.modules())
    assert (logits(checkpoint, 5) - expected).abs().max() < 1e-4 * expected.std()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("self_attn.scaling", "it attends otherwise"),
        ("mlp.act_fn", "its activation is Mish"),
        ("self_attn.rotary", "its queries differ by"),
        ("residual", "what it says differs by"),
        ("more", "it has a more.weight"),
    ],
)
def test_a_layer_that_only_looks_like_a_known_one_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kernels: Kernels,
    caplog: pytest.LogCaptureFixture,
    where: str,
    told: str,
) -> None:
    checkpoint = load_checkpoint(str(make("Llama", tmp_path / "model")), "bfloat16")
    layer: Any = checkpoint.model.model.layers[1]
    if where == "self_attn.scaling":
        plain = ProbeStep.forward

        def forward(self: ProbeStep, number: int, *rest: Any) -> Tensor:
            rule = rest[-1]
            if number == 1:  # every call of the layer another rule
                rest = (*rest[:-1], type(rule)(rule.scaling + torch.rand(()).item()))
            return plain(self, number, *rest)

        monkeypatch.setattr(ProbeStep, "forward", forward)
    elif where == "mlp.act_fn":
        layer.mlp.act_fn = nn.Mish()
    elif where == "self_attn.rotary":
        layer.self_attn.q_proj.register_forward_hook(lambda *call: call[-1] * 1.1)
    elif where == "residual":
        layer.register_forward_hook(lambda *call: call[-1] * 1.2)
    else:
        layer.more = nn.Linear(2, 2)

    with caplog.at_level(logging.WARNING, "baton"):
        assert len(swap(checkpoint, kernels)) == 2
    assert f"1 of 3 decoder layers (LlamaForCausalLM) are not replaced as a whole: {told}" in (
        caplog.text
    )
    assert checkpoint.model.model.layers[1] is layer


def test_weights_lie_in_memory_once_that_of_a_tied_embedding_too(
    tmp_path: Path, kernels: Kernels
) -> None:
    checkpoint = load_checkpoint(str(make("Qwen3", tmp_path / "tied")), "bfloat16")
    tokens = torch.randint(1000, (3, 5))
    embedding: Any = checkpoint.model.get_input_embeddings()
    expected = embedding(tokens).clone()
    swap(checkpoint, kernels)

    kept = checkpoint.model.get_input_embeddings()
    assert isinstance(kept, PackedEmbedding)
    assert torch.equal(kept(tokens), expected)
    assert not [p for p in checkpoint.model.parameters() if p.dim() == 2 and not p.is_meta]


@pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=TORCH_DTYPES)
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 2), (64, 32), (130, 70), (65, 1408)])
def test_a_linear_layer_of_any_shape(
    kernels: Kernels, dtype: torch.dtype, outputs: int, inputs: int
) -> None:
    linear = nn.Linear(inputs, outputs).to(dtype)
    ours = KernelLinear(linear, kernels)
    with torch.inference_mode():
        for rows in (1, 2, 3, 4, 5, 6, 7, 16, 95, 97, 200):
            states = torch.randn(rows, inputs).to(dtype)
            exact = states.double() @ linear.weight.double().T + linear.bias.double()
            moved = (ours(states).double() - exact).abs().max() / exact.abs().max()
            assert moved <= max(torch.finfo(dtype).eps, 1e-5)


@pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=TORCH_DTYPES)
def test_a_rows_bits_depend_on_no_other_row_and_on_no_thread(
    kernels: Kernels, dtype: torch.dtype
) -> None:
    linear = nn.Linear(300, 200).to(dtype)
    ours = KernelLinear(linear, kernels)
    states = torch.randn(110, 300).to(dtype)
    with torch.inference_mode():
        together = ours(states)
        torch.set_num_threads(1)
        for row in (0, 5, 50, 109):
            assert torch.equal(ours(states[row : row + 1])[0], together[row])


def test_a_packed_weight_gives_its_rows(kernels: Kernels) -> None:
    for dtype in TORCH_DTYPES.values():
        weight = torch.randn(150, 36).to(dtype)
        numbers = torch.tensor([[0, 149], [63, 64]])
        assert torch.equal(PackedWeight(kernels, weight, None).rows(numbers), weight[numbers])


def test_what_is_no_rms_norm_is_none(kernels: Kernels) -> None:
    with torch.inference_mode():
        assert kernel_norm(nn.LayerNorm(8, bias=False), kernels) is None
        assert kernel_norm(nn.Linear(8, 8, bias=False), kernels) is None
        assert kernel_norm(nn.RMSNorm(8, eps=1e-6), kernels) is not None


def test_a_norms_epsilon_counts(kernels: Kernels) -> None:
    norm = nn.RMSNorm(40, eps=1e-3)
    with torch.inference_mode():
        ours = kernel_norm(norm, kernels)
        assert ours is not None
        small = torch.full((1, 40), 1e-3)
        assert math.isclose(float(ours(small)[0, 0]), float(norm(small)[0, 0]), rel_tol=1e-5)
        assert ctypes.sizeof(ours.norm) == 24


def test_nothing_keeps_the_checkpoints_file_in_memory(tmp_path: Path, kernels: Kernels) -> None:
    checkpoint = load_checkpoint(str(make("Llama", tmp_path / "model")), "float32")
    loaded = weight_bytes(checkpoint.model)
    before = {p.data_ptr() for p in checkpoint.model.parameters()}
    swap(checkpoint, kernels)
    kept = [p for p in checkpoint.model.parameters() if not p.is_meta]
    values = [p.detach().clone() for p in kept]
    release_files(checkpoint.model, loaded)

    left = [p for p in checkpoint.model.parameters() if not p.is_meta]
    assert not before.intersection(p.data_ptr() for p in left)
    assert all(map(torch.equal, left, values))
