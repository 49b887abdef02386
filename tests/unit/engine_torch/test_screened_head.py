"""A screened output layer says the same best logits as the whole one, bit for bit, or leaves it to that."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from baton.core.sampling_params import SamplingParams
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.config import AUTO, OFF, EngineConfig
from baton.engine.kernel_build import LEVELS, default_recipe
from baton.engine.loading.checkpoint import load_checkpoint
from baton.engine.modules import screened_head
from baton.engine.modules.kernels import Kernels
from baton.engine.modules.linear import KernelLinear
from baton.engine.modules.packed_weight import PackedWeight
from baton.engine.modules.screened_head import (
    MOST_ROWS,
    Screen,
    ScreenedHead,
    ScreenError,
    screen_head,
    screened_head_of,
)
from baton.engine.modules.swap import swap_modules
from baton.engine.plan import Draw, Slice, SliceResult, StepPlan
from baton.engine.runners import torch_runner
from tests.support.hugging_face import Oracle
from tests.support.kernels import kernels as library
from tests.support.models import make

BEST = default_recipe(os.environ).level
OUTPUTS, INPUTS = 8003, 96  # not in whole panels
DTYPES = pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=TORCH_DTYPES)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain() -> Tensor:
    return noise(OUTPUTS, INPUTS)


def near_ties() -> Tensor:
    """Hundreds of rows that differ from others in a last bit or in nothing."""
    weight = plain()
    weight[1000:1200] = weight[500:700] * (1 + 2**-8)
    weight[4000:4200] = weight[500:700]
    return weight


def unequal() -> Tensor:
    """Rows of all sizes, and rows of a single number."""
    weight = plain() * torch.logspace(-20, 2, OUTPUTS)[torch.randperm(OUTPUTS), None]
    weight[7:60, 1:] = 0
    weight[100:150] = 0
    return weight


WEIGHTS = (plain, near_ties, unequal)


def check(kernels: Kernels, weight: Tensor, states: Tensor, ranks: list[int]) -> bool:
    """False where the screen has left it to the layer."""
    packed = PackedWeight(kernels, weight, None)
    found = Screen(kernels, packed).best(states, ranks)
    if found is None:
        return False
    whole = packed.multiply(states)
    told = found != -torch.inf
    assert torch.equal(found[told], whole[told])
    for row, rank in enumerate(ranks):
        last = whole[row].float().topk(rank).values[-1]
        assert told[row][whole[row].float() >= last].all()
    return True


@pytest.mark.parametrize("level", LEVELS)
@DTYPES
@pytest.mark.parametrize("make_weight", WEIGHTS)
def test_the_best_logits_are_the_layers_own(
    level: str, dtype: torch.dtype, make_weight: Callable[[], Tensor]
) -> None:
    kernels = Kernels(library(level))
    weight = make_weight().to(torch.bfloat16).to(dtype)
    states = noise(MOST_ROWS, INPUTS, seed=1).to(dtype)
    for rows in (1, MOST_ROWS):
        assert check(kernels, weight, states[:rows], [1, 2, 1, 1][:rows])
    states[0, 5] = 60  # as real models have it: one number outweighs the others
    assert check(kernels, weight, states[:1], [3])
    check(kernels, weight, states, [64, 1, 20, 5])


@DTYPES
def test_without_its_bounds_a_screen_would_miss_some(dtype: torch.dtype) -> None:
    kernels = Kernels(library(BEST))
    packed = PackedWeight(kernels, plain().to(dtype), None)
    sound, careless = Screen(kernels, packed), Screen(kernels, packed)
    careless._floats[1:].zero_()  # only the scales are left
    missed = {sound: 0, careless: 0}
    for seed in range(60):
        states = noise(1, INPUTS, seed=seed).to(dtype)
        whole = packed.multiply(states).float()
        last = whole.topk(20).values[0, -1]
        for screen in missed:
            found = screen.best(states, [20])
            assert found is not None
            missed[screen] += int((found[whole >= last] == -torch.inf).any())

    assert missed[sound] == 0
    assert missed[careless] > 0


@DTYPES
def test_where_all_rows_are_equal_the_layer_says_it(dtype: torch.dtype) -> None:
    weight = noise(1, INPUTS).expand(OUTPUTS, INPUTS).to(dtype)
    assert not check(Kernels(library(BEST)), weight, noise(1, INPUTS).to(dtype), [1])
    assert not check(Kernels(library(BEST)), torch.zeros_like(weight), weight[:1], [1])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from(list(TORCH_DTYPES.values())),
    inputs=st.sampled_from([2, 6, 64, 130]),
    wild=st.floats(0, 3),
    rank=st.integers(1, 64),
    size=st.floats(-3, 3),
)
def test_no_logit_lies_outside_its_bounds(
    seed: int, dtype: torch.dtype, inputs: int, wild: float, rank: int, size: float
) -> None:
    """`wild` is how unequal numbers are, in powers of ten."""
    weight = noise(1500, inputs, seed=seed) * 10 ** (wild * noise(1500, inputs, seed=seed + 1))
    states = noise(2, inputs, seed=seed + 2) * 10 ** (size + wild * noise(2, inputs, seed=seed + 3))
    weight, states = (one.clamp(-1e4, 1e4).to(dtype) for one in (weight, states))
    check(Kernels(library(BEST)), weight, states, [rank, 1])


@DTYPES
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_what_is_no_number_is_for_the_layer_to_say(dtype: torch.dtype, value: float) -> None:
    kernels = Kernels(library(BEST))
    screen = Screen(kernels, PackedWeight(kernels, plain().to(dtype), None))
    states = noise(2, INPUTS).to(dtype)
    assert screen.best(states, [1, 1]) is not None
    states[1, 40] = value
    assert screen.best(states, [1, 1]) is None


@pytest.mark.parametrize("value", [torch.inf, torch.nan, 1e30])
def test_a_weight_without_bounds_has_no_screen(value: float) -> None:
    weight = plain()
    weight[77, 3] = value
    kernels = Kernels(library(BEST))
    with pytest.raises(ScreenError, match="too large, or no number"):
        Screen(kernels, PackedWeight(kernels, weight, None))


def head_of(weight: Tensor) -> ScreenedHead:
    kernels = Kernels(library(BEST))
    linear = nn.Linear(weight.shape[1], len(weight), bias=False)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    ours = KernelLinear(linear, kernels)
    return ScreenedHead(ours, Screen(kernels, ours.packed))


def test_ranks_are_of_one_call_and_of_few_rows() -> None:
    head = head_of(plain())
    states = noise(1, MOST_ROWS + 1, INPUTS)
    whole = head(states)
    assert whole.isfinite().all()

    head.ranks = [1, 1]
    best = head(states[:, :2])
    assert torch.equal(best.argmax(dim=-1), whole[:, :2].argmax(dim=-1))
    assert not best.isfinite().all()
    assert torch.equal(head(states), whole)
    for ranks in ([1] * (MOST_ROWS + 1), [1, 1], []):
        head.ranks = ranks
        assert torch.equal(head(states), whole)


def test_after_work_in_vain_it_rests_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = plain()
    weight[:] = weight[0]
    head = head_of(weight)
    asked: list[int] = []
    best = Screen.best

    def noted(self: Screen, states: Tensor, ranks: list[int]) -> Tensor | None:
        asked.append(step)
        return best(self, states, ranks)

    monkeypatch.setattr(Screen, "best", noted)
    for step in range(20):  # noqa: B007
        head.ranks = [1]
        assert head(noise(1, INPUTS)).isfinite().all()

    assert asked == [0, 2, 6, 14]


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every output layer is large enough."""
    if not Kernels(library(BEST)).screens.pays:
        pytest.skip("this CPU does not multiply bytes")
    monkeypatch.setattr(screened_head, "SCREENED_FROM", 0)


@pytest.mark.parametrize(
    ("family", "screened"), [("Qwen3", True), ("Llama", True), ("Gemma2", False), ("Phi", False)]
)
def test_what_a_model_caps_or_adds_to_is_not_screened(
    tmp_path: Path, low: None, family: str, screened: bool
) -> None:
    checkpoint = load_checkpoint(str(make(family, tmp_path / "model")), "bfloat16")
    kernels = Kernels(library(BEST))
    swap_modules(checkpoint.model, checkpoint.kv_shape, kernels)
    screen_head(checkpoint.model, kernels, checkpoint.vocab_size)

    assert (screened_head_of(checkpoint.model) is not None) == screened


WARM = SamplingParams(max_tokens=8, seed=7, temperature=0.9, top_k=3, min_p=0.01, top_p=0.9)
ALL = SamplingParams(max_tokens=8, seed=7)


def answers(folder: Path, config: EngineConfig, params: list[SamplingParams]) -> list[list[int]]:
    """32 tokens for each of the requests, side by side."""
    runner = torch_runner.load_torch_runner(str(folder), config)
    with KvPool(runner.layout, num_blocks=3 * len(params)) as pool:
        runner.attach(pool)
        told = [[5, 17 + number] for number in range(len(params))]
        for start in range(32):
            first = 0 if start == 0 else start + 1
            plan = StepPlan(
                tuple(
                    Slice(
                        tuple(tokens[first:]),
                        first,
                        tuple(range(3 * n, 3 * n + 3)),
                        (Draw(0, len(tokens), params[n]),),
                    )
                    for n, tokens in enumerate(told)
                )
            )
            for tokens, result in zip(told, runner.run(plan), strict=True):
                assert isinstance(result, SliceResult)
                tokens.append(result.drawn[0].token_id)
        del runner
    return told


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
@pytest.mark.parametrize("params", [[0, 0, 0], [1, 0, 1], [2, 0]], ids=["greedy", "warm", "all"])
def test_drawn_tokens_are_those_of_the_whole_layer(
    tmp_path: Path, low: None, monkeypatch: pytest.MonkeyPatch, dtype: str, params: list[int]
) -> None:
    greedy = SamplingParams(max_tokens=8, seed=0, temperature=0.0)
    asked = [(greedy, WARM, ALL)[kind] for kind in params]
    folder = make("Qwen3", tmp_path / "model", vocab_size=9000, hidden_size=192)
    screened: list[bool] = []
    best = Screen.best

    def counted(self: Screen, states: Tensor, ranks: list[int]) -> Tensor | None:
        found = best(self, states, ranks)
        screened.append(found is not None)
        return found

    monkeypatch.setattr(Screen, "best", counted)
    found = answers(folder, EngineConfig(dtype=dtype, output_screen=AUTO), asked)
    assert sum(screened) > 16 if ALL not in asked else not screened
    assert found == answers(folder, EngineConfig(dtype=dtype, output_screen=OFF), asked)
    if dtype == "float32" and params == [0, 0, 0]:
        oracle = Oracle(folder)
        for tokens in found:
            assert tuple(tokens[2:]) == oracle.answer(tuple(tokens[:2]), 32).tokens
