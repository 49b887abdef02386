"""Linear layers with int8 weights compute what these weights say, or there is no worker."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baton.core.errors import SettingsError
from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.build import build_engine
from baton.engine.config import EngineConfig
from baton.engine.kernel_build import LEVELS, KernelError, default_recipe
from baton.engine.loading.checkpoint import load_checkpoint
from baton.engine.modules.kernels import Kernels
from baton.engine.modules.linear import KernelLinear, PackedEmbedding
from baton.engine.modules.packed_weight import PackedWeight
from baton.engine.modules.quantised import dequantised, quantised, round_weights
from baton.engine.modules.swap import swap_modules
from baton.engine.runners.torch_runner import load_torch_runner
from tests.support.kernels import kernels as library
from tests.support.models import make

DTYPES = pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=TORCH_DTYPES)
ROWS = (1, 2, 6, 7, 13, 97)  # with and without widened weights, and more than one part of sums
BEST = default_recipe(os.environ).level


def quantising(level: str = BEST) -> Kernels:
    return Kernels(library(level), int8=True)


@DTYPES
def test_weights_are_the_nearest_of_255_and_come_out_the_same_again(dtype: torch.dtype) -> None:
    weight = (torch.randn(50, 70) * torch.logspace(-3, 3, 50)[:, None]).to(dtype)
    weight[7] = 0
    whole, scales = quantised(weight)

    assert whole.abs().amax(dim=1).tolist() == [0 if row == 7 else 127 for row in range(50)]
    moved = (whole.double() * scales.double()[:, None] - weight.double()).abs()
    assert (moved <= scales.double()[:, None] * 0.5001).all()
    again, scales_again = quantised(dequantised(whole, scales, dtype))
    assert torch.equal(again, whole)
    assert torch.equal(scales_again, scales)


@pytest.mark.parametrize("level", LEVELS)
@DTYPES
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 2), (130, 70), (65, 1408)])
def test_products_are_those_of_the_same_weights_in_float64(
    level: str, dtype: torch.dtype, outputs: int, inputs: int
) -> None:
    linear = nn.Linear(inputs, outputs).to(dtype)
    ours = KernelLinear(linear, quantising(level))
    whole, scales = quantised(linear.weight)
    exact_weight = whole.double() * scales.double()[:, None]
    with torch.inference_mode():
        for rows in ROWS:
            states = torch.randn(rows, inputs).to(dtype)
            exact = states.double() @ exact_weight.T + linear.bias.double()
            moved = (ours(states).double() - exact).abs().max() / exact.abs().max()
            assert moved <= max(torch.finfo(dtype).eps, 1e-5)


@pytest.mark.parametrize("level", LEVELS)
@DTYPES
def test_a_rows_bits_depend_on_no_other_row_and_on_no_thread(
    level: str, dtype: torch.dtype
) -> None:
    ours = KernelLinear(nn.Linear(300, 200).to(dtype), quantising(level))
    states = torch.randn(110, 300).to(dtype)
    threads = torch.get_num_threads()
    try:
        with torch.inference_mode():
            together = ours(states)
            torch.set_num_threads(1)
            for count in ROWS:
                assert torch.equal(ours(states[:count]), together[:count])
    finally:
        torch.set_num_threads(threads)


def test_a_packed_weight_gives_its_rows_and_takes_half_the_memory() -> None:
    for dtype in TORCH_DTYPES.values():
        weight = torch.randn(150, 64).to(dtype)
        numbers = torch.tensor([[0, 149], [63, 64]])
        ours = PackedWeight(quantising(), weight, None)
        assert torch.equal(ours.rows(numbers), dequantised(*quantised(weight), dtype)[numbers])
        assert ours.nbytes == 192 * 64


@pytest.mark.parametrize("family", ["Qwen3", "Phi"])  # whole layers and a tied output; neither
def test_a_model_says_what_its_rounded_weights_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, family: str
) -> None:
    folder = str(make(family, tmp_path / family))
    expected, checkpoint = (load_checkpoint(folder, "float32") for _ in range(2))
    plain: Any = expected.model
    round_weights(m for m in plain.modules() if isinstance(m, nn.Linear))
    with caplog.at_level(logging.INFO, "baton"):
        swap_modules(checkpoint.model, checkpoint.kv_shape, quantising())

    assert "linear layers have int8 weights; the others keep theirs: there are none" in caplog.text
    ours: Any = checkpoint.model
    tokens = torch.arange(20)
    with torch.inference_mode():
        table: Tensor = ours.get_input_embeddings()(tokens)
        assert torch.equal(table, plain.get_input_embeddings()(tokens))
    tied = isinstance(ours.get_input_embeddings(), PackedEmbedding)
    assert tied == (family == "Qwen3")
    assert not any(type(module) is nn.Linear for module in ours.modules())


def test_workers_with_other_weights_are_never_paired(tmp_path: Path) -> None:
    folder = str(make("Llama", tmp_path / "model"))
    plain, whole = (
        load_torch_runner(folder, EngineConfig(quantization=quantization)).fingerprint
        for quantization in ("", "int8")
    )
    assert whole.difference(plain) == ("dtype is 'float32, int8 weights' here and 'float32' there")
    assert whole.digest() != plain.digest()


def test_equal_bits_are_promised_with_them_as_well(tmp_path: Path) -> None:
    config = EngineConfig(quantization="int8", batch_invariant=True, threads=2)
    assert load_torch_runner(str(make("Llama", tmp_path / "m")), config).fingerprint.numeric_class


def test_without_kernels_there_is_no_such_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KernelError("there is no C++ compiler")

    monkeypatch.setattr("baton.engine.runners.torch_runner.load_kernels", fail)
    folder = str(make("Llama", tmp_path / "model"))
    with pytest.raises(SettingsError, match=r"--quantization int8 needs the C\+\+ kernels: there"):
        load_torch_runner(folder, EngineConfig(quantization="int8"))


def test_a_cuda_device_does_not_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "baton.engine.machine.device.choose_device", lambda wanted: torch.device("cuda", 0)
    )
    folder = str(make("Llama", tmp_path / "model"))
    with pytest.raises(SettingsError, match=r"--quantization int8 .* take --device cpu"):
        build_engine(folder, EngineConfig(quantization="int8", device="cuda"))


def test_a_weight_that_is_no_number_is_not_hidden() -> None:
    linear = nn.Linear(4, 4)
    with torch.no_grad():
        linear.weight[2, 1] = torch.nan
    with pytest.raises(SettingsError, match="not a number"):
        round_weights([linear])
