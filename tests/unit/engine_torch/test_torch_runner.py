"""A step's contract: what is computed, drawn and returned, on whichever thread."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from baton.core.errors import InternalError
from baton.core.sampling_params import SamplingParams
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.blocks.paged_tensor import paged_tensor
from baton.engine.config import EngineConfig
from baton.engine.plan import Draw, Runner, Slice, SliceResult, StepPlan
from baton.engine.runners.torch_runner import TorchRunner, load_torch_runner
from tests.support.models import VOCAB

GREEDY = SamplingParams(max_tokens=8, seed=0, temperature=0.0)
WARM = SamplingParams(max_tokens=8, seed=11, temperature=1.5, n=4)
PROMPT = tuple(torch.randint(VOCAB, (40,), generator=torch.Generator().manual_seed(0)).tolist())
BLOCKS = (3, 1, 2)


@pytest.fixture
def pool() -> Iterator[list[KvPool]]:
    """Filled by `attached`; closed after the runner is gone."""
    pools: list[KvPool] = []
    yield pools
    for opened in pools:
        opened.close()


@pytest.fixture
def runner(llama: Path, pool: list[KvPool]) -> TorchRunner:
    runner = load_torch_runner(str(llama), EngineConfig(block_size=16))
    pool.append(KvPool(runner.layout, num_blocks=12))
    runner.attach(pool[0])
    return runner


def whole(*draws: Draw, blocks: tuple[int, ...] = BLOCKS) -> Slice:
    return Slice(PROMPT, 0, blocks, draws)


def greedy_draw(position: int = len(PROMPT)) -> Draw:
    return Draw(0, position, GREEDY)


def drawn(runner: TorchRunner, plan: StepPlan) -> list[tuple[int, ...]]:
    results = [result for result in runner.run(plan) if isinstance(result, SliceResult)]
    assert len(results) == len(plan.slices)
    return [tuple(drawn.token_id for drawn in result.drawn) for result in results]


def test_it_is_a_runner_that_describes_the_checkpoint(runner: TorchRunner) -> None:
    plain: Runner = runner

    assert plain.vocab_size == VOCAB
    assert plain.eos_token_ids == {2}
    assert plain.max_model_len == 4096
    assert plain.fingerprint.layout == plain.layout


def test_running_without_a_pool_is_our_fault(llama: Path) -> None:
    runner = load_torch_runner(str(llama), EngineConfig())

    with pytest.raises(InternalError, match="attach"):
        runner.run(StepPlan((whole(greedy_draw()),)))


def test_the_next_token_is_the_models(runner: TorchRunner, llama: Path) -> None:
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(llama)(torch.tensor([PROMPT])).logits

    assert drawn(runner, StepPlan((whole(greedy_draw()),))) == [(int(logits[0, -1].argmax()),)]


def test_tokens_come_for_each_slice_one_per_draw_in_order(runner: TorchRunner) -> None:
    choices = tuple(Draw(choice, len(PROMPT), WARM) for choice in range(4))
    quiet = Slice(PROMPT[:16], 0, (5,), ())
    plan = StepPlan(
        (quiet, whole(*choices, greedy_draw()), Slice((7,), 0, (8,), (greedy_draw(1),)))
    )

    nothing, several, one = drawn(runner, plan)

    assert nothing == ()
    assert len(one) == 1
    alone = [drawn(runner, StepPlan((whole(draw),)))[0][0] for draw in (*choices, greedy_draw())]
    assert list(several) == alone
    assert len(set(several)) > 2


def test_a_step_without_draws_still_writes_its_entries(
    runner: TorchRunner, pool: list[KvPool]
) -> None:
    results = runner.run(StepPlan((whole(),)))

    assert results == [SliceResult(())]
    entries = paged_tensor(pool[0], runner.layout)
    assert (entries[3] != 0).all()
    assert (entries[4] == 0).all()


def test_every_past_position_counts(runner: TorchRunner, pool: list[KvPool]) -> None:
    """Were an entry not read, the logits would not show that it is another."""
    draws = tuple(Draw(choice, len(PROMPT), WARM) for choice in range(4))
    last = Slice(PROMPT[-1:], len(PROMPT) - 1, BLOCKS, draws)
    runner.run(StepPlan((whole(),)))
    before = _logits(runner, last)

    for position in range(len(PROMPT) - 1):
        value = paged_tensor(pool[0], runner.layout)[BLOCKS[position // 16], 2, 1, 0]
        kept = value[position % 16].clone()
        value[position % 16] += 1.0
        assert not torch.equal(_logits(runner, last), before)
        value[position % 16] = kept
    assert torch.equal(_logits(runner, last), before)


def test_it_may_be_built_on_one_thread_and_run_on_another(
    runner: TorchRunner, llama: Path, pool: list[KvPool]
) -> None:
    expected = runner.run(StepPlan((whole(greedy_draw()),)))
    got: list[object] = []

    def work() -> None:
        got.append(runner.run(StepPlan((whole(greedy_draw()),))))
        got.append((torch.get_num_threads(), torch.is_inference_mode_enabled()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=20)

    assert got == [expected, (1, False)]


def _logits(runner: TorchRunner, piece: Slice) -> torch.Tensor:
    assert runner._attention is not None
    with torch.inference_mode():
        return runner._logits(StepPlan((piece,)), runner._attention)


def test_in_bfloat16_each_token_is_among_the_models_best_but_for_rounding(
    llama: Path, pool: list[KvPool]
) -> None:
    runner = load_torch_runner(str(llama), EngineConfig(dtype="bfloat16"))
    pool.append(KvPool(runner.layout, num_blocks=4))
    runner.attach(pool[0])
    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.bfloat16)
    tokens = list(PROMPT[:20])

    for start in (0, *range(20, 40)):
        piece = Slice(tuple(tokens[start:]), start, BLOCKS, (greedy_draw(len(tokens)),))
        [(token,)] = drawn(runner, StepPlan((piece,)))
        with torch.inference_mode():
            logits = model(torch.tensor([tokens])).logits[0, -1].float()
        assert logits.max() - logits[token] < 0.1  # their spread is about 1
        tokens.append(token)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_slice_whose_logits_are_no_numbers_draws_nothing_and_the_others_do(
    runner: TorchRunner, pool: list[KvPool], poison: float
) -> None:
    plan = StepPlan((Slice((7,), 0, (8,), (greedy_draw(1),)),))
    (expected,) = runner.run(plan)
    paged_tensor(pool[0], runner.layout)[3, :, 1] = poison  # values of the first prompt tokens
    rest = Slice(PROMPT[32:], 32, BLOCKS, (greedy_draw(), *(warm_draw(c) for c in range(2))))

    broken, result = runner.run(StepPlan((rest, *plan.slices)))
    assert isinstance(broken, InternalError)
    assert result == expected


def warm_draw(choice: int) -> Draw:
    return Draw(choice, len(PROMPT), WARM)
