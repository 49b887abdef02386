"""Draws equal a slow reference, follow the distribution and depend on nothing else."""

import math
import random
from collections import Counter

import pytest
import torch
from torch import Tensor

from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Draw
from baton.engine.sampling import sampler
from tests.support.reference_sampler import reference_distribution, reference_sample


def draw(
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    choice: int = 0,
    position: int = 9,
) -> Draw:
    params = SamplingParams(8, seed, temperature=temperature, top_p=top_p, top_k=top_k, n=8)
    return Draw(choice, position, params)


def random_logits(rows: int, vocab: int, spread: float = 2.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, vocab, generator=generator) * spread


def random_draw(rng: random.Random) -> Draw:
    return draw(
        temperature=rng.choice([0.0, 0.1, 0.7, 1.0, 1.7]),
        top_p=rng.choice([1.0, 1.0, 0.999, 0.9, 0.5, 0.01]),
        top_k=rng.choice([0, 0, 1, 2, 20, 300, 100_000]),
        seed=rng.getrandbits(63),
        choice=rng.randrange(4),
        position=rng.randrange(5000),
    )


@pytest.mark.parametrize(("vocab", "spread"), [(5, 1.0), (700, 2.0), (3000, 0.05), (3000, 4.0)])
def test_a_mixed_batch_draws_what_the_reference_draws(vocab: int, spread: float) -> None:
    rng = random.Random(vocab)
    draws = [random_draw(rng) for _ in range(60)]
    logits = random_logits(60, vocab, spread, seed=vocab)

    drawn = sampler.sample(logits, draws)

    assert drawn == [
        reference_sample(row, d) for row, d in zip(logits.tolist(), draws, strict=True)
    ]


def test_a_large_vocabulary_is_drawn_in_parts_without_a_seam(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = [draw(seed=seed) for seed in range(7)]
    logits = random_logits(7, 1000)
    whole = sampler.sample(logits, draws)

    monkeypatch.setattr(sampler, "CHUNK", 2000)

    assert sampler.sample(logits, draws) == whole


@pytest.mark.parametrize("look", [1, 3, 64])
def test_a_short_first_look_changes_no_draw(monkeypatch: pytest.MonkeyPatch, look: int) -> None:
    rng = random.Random(look)
    draws = [random_draw(rng) for _ in range(80)]
    logits = random_logits(80, 200).round(decimals=0)  # with many equal values
    whole = sampler.sample(logits, draws)

    monkeypatch.setattr(sampler, "FIRST_LOOK", look)

    assert sampler.sample(logits, draws) == whole


@pytest.mark.parametrize("top_k", [9, 10, 11, 150])
def test_top_p_counts_the_mass_beyond_the_first_look(
    monkeypatch: pytest.MonkeyPatch, top_k: int
) -> None:
    draws = [draw(top_k=top_k, top_p=0.8, seed=seed) for seed in range(100)]
    logits = random_logits(1, 200, spread=0.1).expand(100, -1)
    whole = sampler.sample(logits, draws)

    monkeypatch.setattr(sampler, "FIRST_LOOK", 10)

    assert sampler.sample(logits, draws) == whole


def test_a_row_draws_the_same_alone_and_in_any_batch() -> None:
    rng = random.Random(5)
    draws = [random_draw(rng) for _ in range(30)]
    logits = random_logits(30, 2000)

    together = sampler.sample(logits, draws)

    assert together == [sampler.sample(logits[i : i + 1], [d])[0] for i, d in enumerate(draws)]
    assert together[::-1] == sampler.sample(logits.flip(0), draws[::-1])


def test_the_logits_are_left_as_they_were() -> None:
    logits = random_logits(4, 50)
    before = logits.clone()

    sampler.sample(logits, [draw(), draw(0.0), draw(top_k=3), draw(0.5, top_p=0.5)])

    assert torch.equal(logits, before)


def test_no_draws_give_no_tokens() -> None:
    assert sampler.sample(torch.empty(0, 50), []) == []


def test_choice_i_of_seed_s_is_choice_0_of_seed_s_plus_i() -> None:
    logits = random_logits(1, 4000, spread=0.5).expand(8, -1)

    choices = sampler.sample(logits, [draw(seed=40, choice=i) for i in range(8)])
    seeds = sampler.sample(logits, [draw(seed=40 + i) for i in range(8)])

    assert choices == seeds
    assert len(set(choices)) > 1


def test_greedy_takes_the_lowest_id_of_equal_best_logits() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, 3.0]])

    assert sampler.sample(logits, [draw(0.0)]) == [1]
    assert sampler.sample(logits, [draw(0.9e-5)]) == [1]


@pytest.mark.parametrize("width", [1, sampler.PART, 3 * sampler.PART, 3 * sampler.PART + 5])
def test_greedy_takes_the_lowest_id_wherever_the_best_logits_stand(width: int) -> None:
    places = {0, 1, width // 2, width - sampler.PART, width - 2, width - 1}
    for first in sorted(place for place in places if 0 <= place < width):
        logits = torch.full((2, width), -torch.inf)
        logits[0, first] = logits[0, -1] = -7.0
        logits[1, first:] = 3.0
        assert sampler.sample(logits, [draw(0.0)] * 2) == [first, first]


def test_top_k_keeps_all_tokens_equal_to_the_last_one() -> None:
    logits = torch.tensor([[1.0, 2.0, 1.0, 1.0, 0.0]])

    drawn = {sampler.sample(logits, [draw(top_k=2, seed=seed)])[0] for seed in range(300)}

    assert drawn == {0, 1, 2, 3}


def test_top_p_keeps_as_many_as_are_needed_and_always_the_best() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()

    def seen(top_p: float) -> set[int]:
        return {sampler.sample(logits, [draw(top_p=top_p, seed=s)])[0] for s in range(300)}

    assert seen(1e-9) == {0}
    assert seen(0.39) == {0}
    assert seen(0.41) == {0, 1}
    assert seen(0.69) == {0, 1}
    assert seen(0.71) == {0, 1, 2}
    assert seen(0.95) == {0, 1, 2, 3}


def test_top_p_counts_the_mass_that_top_k_leaves() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()  # after top_k 2: 0.571 and 0.429

    seen = {sampler.sample(logits, [draw(top_k=2, top_p=0.55, seed=s)])[0] for s in range(300)}

    assert seen == {0}


def test_extreme_logits_and_temperatures_draw_without_a_warning() -> None:
    logits = torch.tensor([[0.0, 1000.0, -1000.0], [0.0, 1e-3, 1e30], [5.0, 5.0, 5.0]])

    drawn = sampler.sample(logits, [draw(), draw(2e-5), draw(100.0, top_p=0.999)])

    assert drawn[:2] == [1, 2]


@pytest.mark.parametrize(
    "shape",
    [
        draw(),
        draw(0.6),
        draw(1.5, top_k=7),
        draw(top_p=0.8),
        draw(0.8, top_p=0.9, top_k=12),
    ],
)
def test_draws_over_many_positions_follow_the_distribution(shape: Draw) -> None:
    count, vocab = 20_000, 24
    logits = random_logits(1, vocab, spread=1.5, seed=3)
    expected = reference_distribution(logits[0].tolist(), shape)
    draws = [Draw(0, position, shape.params) for position in range(count)]

    seen = Counter(sampler.sample(logits.expand(count, -1), draws))

    assert set(seen) <= set(expected)
    common = [token for token, share in expected.items() if share * count >= 10]
    chi2 = sum(
        (seen[token] - expected[token] * count) ** 2 / (expected[token] * count) for token in common
    )
    degrees = len(common) - 1
    assert chi2 < degrees + 4 * math.sqrt(2 * degrees) + 4


def test_draws_of_neighbouring_seeds_and_positions_are_independent() -> None:
    logits = torch.zeros(1, 2).expand(4096, -1)
    draws = [draw(seed=s, position=p) for s in range(64) for p in range(64)]

    grid = torch.tensor(sampler.sample(logits, draws)).view(64, 64)

    for shifted in (grid.roll(1, 0), grid.roll(1, 1), grid.T):
        assert abs((grid == shifted).double().mean().item() - 0.5) < 0.04
