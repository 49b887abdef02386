"""The log-probabilities that are told with a drawn token, in every mode."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baton.core.sampling_params import LogprobsMode
from baton.core.token_record import TokenLogprobs
from baton.engine.plan import Draw, Drawn
from tests.support.drawing import VOCAB, draw, outcomes


def told(logits: Tensor, drawn: Draw) -> TokenLogprobs:
    [outcome] = outcomes(logits[None], drawn)
    assert isinstance(outcome, Drawn)
    assert outcome.logprobs is not None
    return outcome.logprobs


def test_raw_logprobs_are_the_models_whatever_the_request_does_to_them() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 3.0])
    expected = logits.log_softmax(-1).tolist()
    found = told(logits, draw(logprobs=2, logit_bias=((0, 100.0),), min_tokens=1, top_k=1))
    assert found == TokenLogprobs(expected[0], 4, ((3, expected[3]), (2, expected[2])))


def test_raw_logits_are_told_as_they_are() -> None:
    asked = draw(logprobs=1, logprobs_mode=LogprobsMode.RAW_LOGITS, logit_bias=((0, 100.0),))
    assert told(torch.tensor([0.0, 1.0, 2.5, 2.0]), asked) == TokenLogprobs(0.0, 4, ((2, 2.5),))


def test_processed_logprobs_are_of_what_was_drawn_from() -> None:
    asked = draw(
        seed=4,
        temperature=0.5,
        top_k=2,
        logit_bias=((0, 3.0),),
        logprobs=3,
        logprobs_mode=LogprobsMode.PROCESSED_LOGPROBS,
    )
    logits = torch.tensor([0.0, 1.0, 2.5, 2.0])  # with the bias 3, 1, 2.5, 2
    found = told(logits, asked)
    [first, second, third] = found.top
    total = math.log(math.exp(6.0) + math.exp(5.0))
    assert (first[0], second[0], third[0]) == (0, 2, 1)
    assert first[1] == pytest.approx(6.0 - total, abs=1e-6)
    assert second[1] == pytest.approx(5.0 - total, abs=1e-6)
    assert third[1] == -math.inf
    logits_told = told(logits, replace_mode(asked, LogprobsMode.PROCESSED_LOGITS))
    assert logits_told.top == ((0, 6.0), (2, 5.0), (1, -math.inf))


def replace_mode(drawn: Draw, mode: LogprobsMode) -> Draw:
    return replace(drawn, params=replace(drawn.params, logprobs_mode=mode))


def test_processed_logprobs_of_a_greedy_draw_know_no_temperature() -> None:
    asked = draw(
        logprobs=1,
        logit_bias=((0, 3.0),),
        logprobs_mode=LogprobsMode.PROCESSED_LOGPROBS,
    )
    logits = torch.tensor([0.0, 1.0, 2.5, 2.0])
    expected = torch.tensor([3.0, 1.0, 2.5, 2.0]).log_softmax(-1)[0].item()
    assert told(logits, asked) == TokenLogprobs(expected, 1, ((0, expected),))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6])
def test_equal_values_are_ranked_by_id_and_the_list_is_the_true_best(count: int) -> None:
    logits = torch.tensor([1.0, 2.0, 1.0, 1.0, 0.0, 1.0])
    for chosen, rank in ((3, 4), (1, 1), (4, 6), (0, 2)):
        found = told(logits, draw(logprobs=count, allowed_token_ids=(chosen,)))
        assert found.rank == rank
        assert [token_id for token_id, _ in found.top] == [1, 0, 2, 3, 5, 4][:count]


def test_a_grammars_forced_token_has_a_raw_logprob_of_zero() -> None:
    logits = torch.full((VOCAB,), -torch.inf)  # as a grammar leaves them
    logits[7] = -3.0
    assert told(logits, draw(logprobs=2)) == TokenLogprobs(0.0, 1, ((7, 0.0), (0, -math.inf)))


# -- everything at once
