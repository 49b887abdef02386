"""What a search is given of a row of logits."""

from typing import Any

import pytest
import torch

from baton.core.sampling_params import BeamSearch, LogprobsMode, SamplingParams
from baton.engine.plan import Draw
from baton.engine.sampling.beam_candidates import beam_candidates


def draw(n: int = 2, **changes: Any) -> Draw:
    params = SamplingParams(max_tokens=4, seed=0, n=n, beam=BeamSearch(), **changes)
    return Draw(0, 9, params)


def rows(count: int, vocabulary: int = 50) -> torch.Tensor:
    return torch.randn(count, vocabulary, generator=torch.Generator().manual_seed(4)) * 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_the_best_come_with_their_log_probability_at_the_temperature(temperature: float) -> None:
    logits = rows(2)
    found = beam_candidates(logits, [draw(n, temperature=temperature) for n in (2, 3)])
    exact = torch.log_softmax(logits.double() / temperature, dim=-1)
    for row, (one, width) in enumerate(zip(found, (4, 6), strict=True)):
        best = exact[row].topk(width)
        assert [token_id for token_id, _ in one.candidates] == best.indices.tolist()
        values = [value for _, value in one.candidates]
        assert values == pytest.approx(best.values.tolist(), abs=1e-5)
        assert one.logprobs is None


def test_a_temperature_of_zero_is_none() -> None:
    logits = rows(1)
    cold, plain = (beam_candidates(logits, [draw(temperature=t)]) for t in (0.0, 1.0))
    assert cold == plain


def test_nothing_else_of_the_parameters_acts() -> None:
    logits = rows(1)
    other = draw(top_k=1, top_p=0.1, min_p=0.9, presence_penalty=2.0)
    assert beam_candidates(logits, [other]) == beam_candidates(logits, [draw()])


def test_equal_tokens_come_by_their_ids_even_across_the_cut() -> None:
    logits = torch.zeros(2, 40)
    logits[1, 30] = 1.0
    zeros, one_better = beam_candidates(logits, [draw(), draw()])
    assert [token_id for token_id, _ in zeros.candidates] == [0, 1, 2, 3]
    assert [token_id for token_id, _ in one_better.candidates] == [30, 0, 1, 2]


def test_no_log_probability_is_above_zero_and_a_masked_token_is_possible() -> None:
    logits = torch.full((1, 6), -torch.inf)
    logits[0, 4] = 1e4
    candidates = beam_candidates(logits, [draw()])[0].candidates
    assert candidates == ((4, 0.0), (0, -torch.inf), (1, -torch.inf), (2, -torch.inf))


def test_a_small_vocabulary_is_given_whole() -> None:
    assert len(beam_candidates(rows(1, 3), [draw()])[0].candidates) == 3


@pytest.mark.parametrize("mode", LogprobsMode)
def test_what_is_told_follows_the_mode_and_has_an_entry_per_candidate(mode: LogprobsMode) -> None:
    logits = rows(1)
    asked = draw(temperature=0.5, logprobs=1, logprobs_mode=mode)
    one = beam_candidates(logits, [asked])[0]
    expected = {
        LogprobsMode.RAW_LOGPROBS: torch.log_softmax(logits[0], -1),
        LogprobsMode.RAW_LOGITS: logits[0],
        LogprobsMode.PROCESSED_LOGPROBS: torch.log_softmax(logits[0] / 0.5, -1),
        LogprobsMode.PROCESSED_LOGITS: logits[0] / 0.5,
    }[mode]
    assert one.logprobs is not None
    assert [i for i, _ in one.logprobs.top] == [i for i, _ in one.candidates]
    for token_id, value in one.logprobs.top:
        assert value == pytest.approx(expected[token_id].item(), abs=1e-5)
    assert (one.logprobs.logprob, one.logprobs.rank) == (one.logprobs.top[0][1], 1)
