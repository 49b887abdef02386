"""What a request forbids, prefers and penalises."""

from typing import Any

import pytest
import torch
from torch import Tensor

from baton.core.errors import BatonError, RequestError
from baton.core.sampling_params import Grammar
from baton.engine.plan import Draw, Drawn
from baton.engine.sampling.logits_rules import LogitsRules
from tests.support.drawing import EOS, PROMPT, VOCAB, draw, outcomes, plugins, rising, token


def error(logits: Tensor, drawn: Draw) -> BatonError:
    [outcome] = outcomes(logits[None], drawn)
    assert isinstance(outcome, BatonError), outcome
    return outcome


def shaped(logits: Tensor, drawn: Draw) -> list[float]:
    changed = logits[None].clone()
    assert not LogitsRules(EOS, plugins()).apply(changed, [drawn])
    values: list[float] = changed[0].tolist()
    return values


def test_only_allowed_tokens_are_drawn_and_no_bias_brings_another_back() -> None:
    assert token(rising(), draw(allowed_token_ids=(7, 8))) == 8
    biased = draw(allowed_token_ids=(7, 8), logit_bias=((4, 100.0), (7, 2.0)))
    assert token(rising(), biased) == 7


def test_a_bad_word_of_one_token_is_never_drawn() -> None:
    assert token(rising(), draw(bad_words=((11,), (10,)))) == 9


@pytest.mark.parametrize(
    ("answer", "drawn"),
    [((), 11), ((9,), 11), ((9, 10), 8), ((4, 9, 10), 8), ((10,), 11), ((9, 10, 4), 11)],
)
def test_a_longer_bad_word_is_not_completed(answer: tuple[int, ...], drawn: int) -> None:
    words = ((9, 10, 11), (9, 10, 10), (9, 10, 9))
    assert token(rising(), draw(answer, bad_words=words)) == drawn


def test_a_bad_word_begins_in_the_answer_not_in_the_prompt() -> None:
    assert token(rising(), draw(bad_words=((PROMPT[-1], 11),))) == 11


@pytest.mark.parametrize(("answer", "drawn"), [((), 8), ((1,), 8), ((1, 1), 11)])
def test_nothing_that_ends_is_drawn_before_min_tokens(answer: tuple[int, ...], drawn: int) -> None:
    logits = rising()
    logits[list(EOS)] = 100.0
    held = draw(answer, min_tokens=2, stop_token_ids=(9, 10, 11))
    logits[[9, 10, 11]] = torch.tensor([101.0, 102.0, 103.0])
    assert token(logits, held) == drawn


def test_min_tokens_holds_back_the_end_even_where_it_would_not_stop() -> None:
    logits = rising()
    logits[list(EOS)] = 100.0
    assert token(logits, draw(min_tokens=1, ignore_eos=True)) == 11


def test_a_bias_does_not_bring_the_end_back_before_min_tokens() -> None:
    biased = draw(min_tokens=1, logit_bias=tuple((token_id, 100.0) for token_id in EOS))
    assert token(rising(), biased) == 11


def test_a_grammar_that_allows_only_the_end_wins_over_min_tokens() -> None:
    logits = torch.full((VOCAB,), -torch.inf)
    logits[EOS[0]] = 1.0
    held = draw(min_tokens=3, grammar=Grammar("ends"))
    assert token(logits, held) == EOS[0]
    logits[7] = -50.0
    assert token(logits, held) == 7


def test_a_bias_is_added_and_reaches_greedy() -> None:
    assert token(rising(), draw(logit_bias=((0, 11.1),))) == 0
    assert token(rising(), draw(logit_bias=((0, 10.9),))) == 11


def test_repetition_counts_prompt_and_answer_and_shrinks_towards_the_unlikely() -> None:
    logits = torch.tensor([4.0, 4.0, -4.0, -4.0, 4.0, -4.0, *[0.0] * 6])
    values = shaped(logits, draw((4, 4, 5), repetition_penalty=2.0))
    assert values[:6] == [4.0, 2.0, -4.0, -8.0, 2.0, -8.0]
    values = shaped(logits, draw((4,), repetition_penalty=0.5))
    assert values[:6] == [4.0, 8.0, -4.0, -2.0, 8.0, -4.0]


def test_frequency_and_presence_count_the_answer_alone() -> None:
    answer = (4, 4, 4, 3)
    values = shaped(torch.zeros(VOCAB), draw(answer, frequency_penalty=0.5))
    assert (values[1], values[3], values[4]) == (0.0, -0.5, -1.5)
    values = shaped(torch.zeros(VOCAB), draw(answer, presence_penalty=-0.75))
    assert (values[1], values[3], values[4]) == (0.0, 0.75, 0.75)


def test_penalties_follow_the_bias_and_repetition_comes_first() -> None:
    asked: dict[str, Any] = {
        "repetition_penalty": 2.0,
        "frequency_penalty": 1.0,
        "presence_penalty": 0.5,
    }
    values = shaped(torch.ones(VOCAB), draw((4, 4), logit_bias=((4, 7.0),), **asked))
    assert values[4] == (1.0 + 7.0) / 2 - 2 * 1.0 - 0.5


def test_where_no_token_is_left_that_request_alone_fails_and_says_why() -> None:
    nothing = draw(allowed_token_ids=(4,), bad_words=((4,),))
    failure, healthy = outcomes(rising().expand(2, -1), nothing, draw())
    assert isinstance(failure, RequestError)
    assert "allowed_token_ids and bad_words" in str(failure)
    assert failure.param is None
    assert healthy == Drawn(11)
    held = error(rising(), draw(allowed_token_ids=EOS, min_tokens=1))
    assert "no token is left to draw" in str(held)
    words = error(rising(), draw(temperature=1.0, bad_words=tuple((t,) for t in range(VOCAB))))
    assert isinstance(words, RequestError)
    assert words.param == "bad_words"


def test_a_grammar_that_allows_nothing_is_named() -> None:
    masks = LogitsRules(EOS, plugins())  # unlike the model's own, such rows are no defect
    logits = torch.full((1, VOCAB), -torch.inf)
    [failure] = masks.apply(logits, [draw(grammar=Grammar("none"))]).values()
    assert isinstance(failure, RequestError)
    assert failure.param == "structured_outputs"


def test_a_penalty_beyond_the_numbers_fails_its_request_alone() -> None:
    broken = draw(repetition_penalty=1e-300)
    failure, healthy = outcomes(torch.ones(2, VOCAB), broken, draw())
    assert isinstance(failure, RequestError)
    assert failure.param == "repetition_penalty"
    assert healthy == Drawn(0)
