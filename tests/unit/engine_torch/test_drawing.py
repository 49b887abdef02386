"""The whole order of what is done to logits, step by step and all together, against the rules."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.core.errors import BatonError, InternalError, RequestError
from baton.core.sampling_params import Grammar, LogprobsMode
from baton.engine.plan import Draw, Drawn
from baton.engine.sampling.drawing import Drawing
from baton.engine.sampling.logits_rules import LogitsRules
from tests.support.drawing import EOS, PROMPT, VOCAB, draw, outcomes, plugins, rising
from tests.support.reference_sampler import (
    reference_distribution,
    reference_logits,
    reference_logprobs,
    reference_sample,
)


def test_min_p_looks_at_the_tempered_shares_before_top_k_and_top_p() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    def seen(**fields: Any) -> set[int]:
        draws = [draw(seed=s, **{"temperature": 1.0, **fields}) for s in range(300)]
        found = outcomes(logits.expand(300, -1), *draws)
        return {one.token_id for one in found if isinstance(one, Drawn)}

    assert seen(min_p=0.09) == {0, 1, 2, 3}
    assert seen(min_p=0.11) == {0, 1, 2}
    assert seen(min_p=0.61) == {0}
    assert seen(min_p=1.0) == {0}
    assert seen(min_p=0.11, temperature=2.0) == {0, 1, 2, 3}
    assert seen(min_p=0.59, top_p=0.6) == {0}  # of what min_p leaves the best has 0.625
    assert seen(min_p=0.29, top_k=2) == {0, 1}


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_row_that_is_no_number_fails_alone_whatever_its_request_asks(poison: float) -> None:
    logits = rising().repeat(3, 1)
    logits[0] = poison
    asked: dict[str, Any] = {"logprobs": 2, "allowed_token_ids": (3, 4), "repetition_penalty": 1.5}
    failure, ruled, healthy = outcomes(logits, draw(**asked), draw(**asked), draw())
    assert isinstance(failure, InternalError)
    assert isinstance(ruled, Drawn)
    assert ruled.token_id == 4
    assert healthy == Drawn(11)


# -- everything at once

TOKENS = st.integers(0, VOCAB - 1)
NUMBERS = st.integers(-40, 40).map(lambda n: n / 8)  # equal values are likely, and exact


def fields() -> st.SearchStrategy[dict[str, Any]]:
    penalty = st.sampled_from([0.0, 0.0, 0.5, -1.5, 2.0])
    some = st.frozensets(TOKENS, min_size=1).map(lambda ids: tuple(sorted(ids)))
    word = st.lists(TOKENS, min_size=1, max_size=3).map(tuple)
    return st.fixed_dictionaries(
        {
            "seed": st.integers(0, 1 << 40),
            "temperature": st.sampled_from([0.0, 0.3, 1.0, 1.7]),
            "top_p": st.sampled_from([1.0, 0.93, 0.57]),
            "top_k": st.sampled_from([0, 1, 3, 50]),
            "min_p": st.sampled_from([0.0, 0.013, 0.31]),
        },
        optional={
            "min_tokens": st.integers(0, 4),
            "stop_token_ids": some,
            "repetition_penalty": st.sampled_from([0.5, 1.25, 2.0]),
            "presence_penalty": penalty,
            "frequency_penalty": penalty,
            "logit_bias": st.dictionaries(TOKENS, NUMBERS).map(lambda d: tuple(sorted(d.items()))),
            "allowed_token_ids": some,
            "bad_words": st.lists(word, max_size=4).map(tuple),
            "logprobs": st.integers(0, VOCAB),
            "logprobs_mode": st.sampled_from(LogprobsMode),
            "grammar": st.just(Grammar("some")),
        },
    )


@st.composite
def cases(sampled: st.DrawFn) -> tuple[list[float], Draw]:
    logits = sampled(st.lists(NUMBERS, min_size=VOCAB, max_size=VOCAB))
    answer = sampled(st.lists(TOKENS, max_size=6))
    key, choice = sampled(st.sampled_from("ab")), sampled(st.integers(0, 2))
    return logits, draw(tuple(answer), key, choice, **sampled(fields()))


@settings(deadline=None)
@given(st.lists(cases(), min_size=1, max_size=6, unique_by=lambda c: (c[1].key, c[1].choice)))
def test_a_mixed_batch_comes_out_as_the_slow_reference_says(
    batch: list[tuple[list[float], Draw]],
) -> None:
    logits = torch.tensor([row for row, _ in batch])

    found = outcomes(logits, *(drawn for _, drawn in batch))

    for (row, drawn), outcome in zip(batch, found, strict=True):
        left = reference_logits(row, drawn, EOS)
        if max(left) == -math.inf:
            assert isinstance(outcome, RequestError)
            continue
        assert isinstance(outcome, Drawn)
        assert near(left, drawn, outcome.token_id)
        check_logprobs(row, left, drawn, outcome)


def near(left: list[float], drawn: Draw, token_id: int) -> bool:
    """The reference's token, or one that float32 cannot tell from it."""
    if token_id == reference_sample(left, drawn):
        return True
    if drawn.params.greedy:
        return max(left) - left[token_id] < 1e-5
    softer = replace(drawn.params, top_p=min(1.0, drawn.params.top_p + 1e-5))
    harder = replace(drawn.params, top_p=drawn.params.top_p - 1e-5)
    kinds = [replace(drawn, params=params) for params in (softer, harder)]
    return token_id in {reference_sample(left, kind) for kind in kinds} or edge(left, drawn)


def edge(left: list[float], drawn: Draw) -> bool:
    """Whether rounding of float32 decides what min_p or top_k keeps."""
    values = [value / drawn.params.temperature for value in left if value > -math.inf]
    bounds = [max(values) + math.log(drawn.params.min_p)] if drawn.params.min_p else []
    if 0 < drawn.params.top_k <= len(values):
        bounds.append(sorted(values, reverse=True)[drawn.params.top_k - 1])
    return any(0 < abs(value - bound) < 1e-5 for value in values for bound in bounds)


def check_logprobs(row: list[float], left: list[float], drawn: Draw, outcome: Drawn) -> None:
    params, found = drawn.params, outcome.logprobs
    if params.logprobs is None:
        assert found is None
        return
    assert found is not None
    assert len(found.top) == params.logprobs
    order = [(-value, token_id) for token_id, value in found.top]
    assert order == sorted(order)
    if found.rank <= params.logprobs:
        assert found.top[found.rank - 1] == (outcome.token_id, found.logprob)
    raw = {LogprobsMode.RAW_LOGITS: row, LogprobsMode.RAW_LOGPROBS: reference_logprobs(row)}
    expected = raw.get(params.logprobs_mode)
    if expected is not None:
        assert found.logprob == pytest.approx(expected[outcome.token_id], abs=1e-5)
        assert [value for _, value in found.top] == pytest.approx(
            sorted(expected, reverse=True)[: params.logprobs], abs=1e-5
        )
    elif params.logprobs_mode is LogprobsMode.PROCESSED_LOGPROBS and not params.greedy:
        share = reference_distribution(left, drawn).get(outcome.token_id)
        if share is not None and not edge(left, drawn) and params.top_p == 1.0:
            assert math.exp(found.logprob) == pytest.approx(share, abs=1e-4)


@settings(deadline=None)
@given(st.lists(cases(), min_size=1, max_size=5, unique_by=lambda c: (c[1].key, c[1].choice)))
def test_a_row_comes_out_the_same_alone_in_a_batch_and_whatever_came_before(
    batch: list[tuple[list[float], Draw]],
) -> None:
    logits = torch.tensor([row for row, _ in batch])
    draws = [drawn for _, drawn in batch]
    used = Drawing(EOS, plugins())

    together = used.draw(logits.clone(), draws, [None] * len(draws))
    again = used.draw(logits.flip(0).clone(), draws[::-1], [None] * len(draws))[::-1]

    alone = [outcomes(logits[i : i + 1], one)[0] for i, one in enumerate(draws)]
    for one, two, three in zip(together, again, alone, strict=True):
        if isinstance(one, BatonError):
            assert str(one) == str(two) == str(three)
        else:
            assert one == two == three


@settings(deadline=None)
@given(st.lists(TOKENS, max_size=12), st.lists(st.booleans(), min_size=13, max_size=13))
def test_counts_that_were_kept_equal_those_that_are_made_anew(
    answer: list[int], present: list[bool]
) -> None:
    """`present`: whether the choice is in a step at all; it may have been preempted."""
    asked: dict[str, Any] = {
        "repetition_penalty": 1.3,
        "frequency_penalty": 0.5,
        "presence_penalty": 0.25,
    }
    rules, other = LogitsRules(EOS, plugins()), draw(key="other", **asked)
    template = draw(**asked)
    tokens = list(PROMPT)
    for index in range(len(answer) + 1):
        one = replace(template, tokens=tokens, position=len(tokens))
        kept, fresh = rising().repeat(2, 1), rising().repeat(2, 1)
        batch = [one, other] if present[index] else [other, other]
        rules.apply(kept, batch)
        LogitsRules(EOS, plugins()).apply(fresh, batch)
        assert torch.equal(kept, fresh)
        tokens += answer[index : index + 1]
