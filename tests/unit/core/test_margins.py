"""The judge of near-ties: margins of greedy and of drawn tokens."""

import pytest

from baton.core.sampling_hash import gumbel, row_key
from tests.support.margins import Drawing, drawn_margins, greedy_margins

pytestmark = pytest.mark.unit


def test_the_greedy_margin_is_between_the_best_two() -> None:
    assert greedy_margins([{1: -2.0, 2: -0.5, 3: -1.5}]) == [1.0]
    assert greedy_margins([{7: 0.0}]) == [float("inf")]


def test_the_drawn_margin_is_between_perturbed_scores() -> None:
    told = {1: -1.0, 2: -1.1, 3: -50.0}
    key = row_key(5, 1, 12)
    scores = [told[token] / 0.8 + gumbel(key, token) for token in (1, 2)]
    drawing = Drawing(seed=5, choice=1, num_prompt=10, temperature=0.8, top_k=2)
    margins = drawn_margins([{4: 0.0}] * 2 + [told], drawing)
    assert margins[2] == pytest.approx(abs(scores[0] - scores[1]))


def test_a_candidate_that_is_nearly_none_counts_too() -> None:
    drawing = Drawing(seed=5, choice=0, num_prompt=10, temperature=1.0, top_k=1)
    assert drawn_margins([{1: -1.0, 2: -1.25}], drawing) == [0.25]
