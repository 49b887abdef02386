"""Log-probabilities of a prompt: the model's, however it is cut up, and at a bounded price."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from baton.core.errors import InternalError
from baton.core.sampling_params import LogprobsMode, SamplingParams
from baton.core.token_record import TokenLogprobs
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.blocks.paged_tensor import paged_tensor
from baton.engine.config import EngineConfig
from baton.engine.plan import Draw, Slice, SliceResult, StepPlan
from baton.engine.runners.torch_runner import TorchRunner, load_torch_runner
from baton.engine.sampling import logits_parts
from tests.support.models import VOCAB, make

PROMPT = tuple(torch.randint(VOCAB, (40,), generator=torch.Generator().manual_seed(3)).tolist())
BLOCKS = (3, 1, 2)
GREEDY = SamplingParams(max_tokens=8, seed=0, temperature=0.0, logprobs=2)


@pytest.fixture
def pool() -> Iterator[list[KvPool]]:
    pools: list[KvPool] = []
    yield pools
    for opened in pools:
        opened.close()


@pytest.fixture
def runner(llama: Path, pool: list[KvPool]) -> TorchRunner:
    return attached(llama, pool)


def attached(folder: Path, pool: list[KvPool]) -> TorchRunner:
    runner = load_torch_runner(str(folder), EngineConfig())
    pool.append(KvPool(runner.layout, num_blocks=8))
    runner.attach(pool[-1])
    return runner


def piece(start: int, end: int, alternatives: int = 3, *draws: Draw) -> Slice:
    targets = PROMPT[start + 1 : end + 1]
    return Slice(PROMPT[start:end], start, BLOCKS, draws, targets, alternatives)


def scores(runner: TorchRunner, *pieces: Slice) -> list[tuple[TokenLogprobs, ...]]:
    results = runner.run(StepPlan(pieces))
    assert all(isinstance(result, SliceResult) for result in results)
    return [result.scores for result in results if isinstance(result, SliceResult)]


def expected(folder: Path) -> Tensor:
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([PROMPT])).logits
    rows: Tensor = logits[0].log_softmax(dim=-1)
    return rows


def assert_models(found: tuple[TokenLogprobs, ...], rows: Tensor, alternatives: int = 3) -> None:
    """`rows` are the model's at the positions before those of the scores."""
    assert len(found) == len(PROMPT) - 1
    for one, row, token in zip(found, rows, PROMPT[1:], strict=False):
        best = row.topk(alternatives) if alternatives else None
        assert one.logprob == pytest.approx(row[token].item(), abs=2e-5)
        assert abs(one.rank - 1 - int((row > row[token]).sum())) <= 1  # rounding may swap two
        assert [value for _, value in one.top] == pytest.approx(
            best.values.tolist() if best else [], abs=2e-5
        )
        for token_id, value in one.top:
            assert value == pytest.approx(row[token_id].item(), abs=2e-5)


@pytest.mark.parametrize("alternatives", [0, 1, 3, VOCAB])
def test_they_are_hugging_faces(runner: TorchRunner, llama: Path, alternatives: int) -> None:
    [found] = scores(runner, piece(0, 40, alternatives))

    assert_models(found, expected(llama), alternatives)


@pytest.mark.parametrize("family", ["Gemma2", "Granite", "OPT", "GPT2"])
def test_they_are_whatever_a_family_does_with_its_last_layer(
    family: str, tmp_path: Path, pool: list[KvPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logits_parts, "PART_BYTES", 7 * 4 * VOCAB)
    folder = make(family, tmp_path / family)

    [found] = scores(attached(folder, pool), piece(0, 40))

    assert_models(found, expected(folder))


@pytest.mark.parametrize("rows", [1, 7, 39, 40])
def test_parts_change_nothing_and_the_layers_run_once(
    runner: TorchRunner, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    [whole] = scores(runner, piece(0, 40))
    calls: list[object] = []
    model: Any = runner._checkpoint.model
    model.base_model.layers[0].register_forward_hook(lambda *call: calls.append(call))
    monkeypatch.setattr(logits_parts, "PART_BYTES", rows * 4 * VOCAB)

    [found] = scores(runner, piece(0, 40))

    assert [(one.rank, [t for t, _ in one.top]) for one in found] == [
        (one.rank, [t for t, _ in one.top]) for one in whole
    ]
    assert [one.logprob for one in found] == pytest.approx([one.logprob for one in whole], abs=1e-5)
    assert len(calls) == 1
    assert "forward" not in vars(model.base_model)


def test_a_prompt_in_chunks_beside_others_has_the_same_scores(
    runner: TorchRunner, llama: Path
) -> None:
    other = Slice((7, 8), 0, (5,), (Draw(0, 2, GREEDY),))
    first, _ = scores(runner, piece(0, 16), other)
    second, _ = scores(runner, piece(16, 32), other)
    _, third = scores(runner, other, piece(32, 40, 3, Draw(0, 40, GREEDY)))

    assert (len(first), len(second), len(third)) == (16, 16, 7)
    assert_models((*first, *second, *third), expected(llama))


def test_scores_change_no_draw(runner: TorchRunner) -> None:
    draws = tuple(Draw(c, 40, SamplingParams(8, 11, n=3, logprobs=1)) for c in range(3))
    [plain] = runner.run(StepPlan((Slice(PROMPT, 0, BLOCKS, draws),)))
    [scored] = runner.run(StepPlan((piece(0, 40, 2, *draws),)))

    assert isinstance(plain, SliceResult)
    assert isinstance(scored, SliceResult)
    assert plain.drawn == scored.drawn
    assert len(scored.scores) == 39


def test_scores_that_are_no_numbers_end_that_slice_alone(
    runner: TorchRunner, pool: list[KvPool]
) -> None:
    alone = Slice((7,), 0, (5,), (Draw(0, 1, GREEDY),))
    [expected] = runner.run(StepPlan((alone,)))
    assert isinstance(expected, SliceResult)
    paged_tensor(pool[0], runner.layout)[3, :, 1] = float("nan")

    broken, result = runner.run(StepPlan((piece(16, 32), alone)))

    assert isinstance(broken, InternalError)
    assert isinstance(result, SliceResult)
    assert result.drawn[0].token_id == expected.drawn[0].token_id


def test_prompt_scores_are_of_raw_log_probabilities_in_every_mode(runner: TorchRunner) -> None:
    params = SamplingParams(
        8, 0, temperature=0.0, logprobs=1, logprobs_mode=LogprobsMode.PROCESSED_LOGITS
    )
    [found] = scores(runner, piece(0, 40, 1, Draw(0, 40, params)))
    assert all(one.logprob <= 0 for one in found)
