"""The whole order of what is done to logits, step by step and all together, against the rules."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from baton.core.errors import BatonError, InternalError, RequestError, SettingsError
from baton.core.sampling_params import Grammar, LogprobsMode, ProcessorCall, SamplingParams
from baton.core.token_record import TokenLogprobs
from baton.engine.drawing import Drawing, Outcome, unsound
from baton.engine.logits_plugins import LogitsPlugins
from baton.engine.logits_rules import LogitsRules
from baton.engine.plan import Draw, Drawn
from tests.support.reference_sampler import (
    reference_distribution,
    reference_logits,
    reference_logprobs,
    reference_sample,
)

EOS = (2, 5)
VOCAB = 12
PROMPT = [1, 3, 3, 6]
HERE = "tests.support.logits_processors"


def draw(answer: tuple[int, ...] = (), key: str = "a", choice: int = 0, **fields: Any) -> Draw:
    fields = {"max_tokens": 50, "seed": 0, "temperature": 0.0, **fields}
    tokens = [*PROMPT, *answer]
    return Draw(choice, len(tokens), SamplingParams(**fields), key, tokens, len(PROMPT))


def plugins(*names: str) -> LogitsPlugins:
    return LogitsPlugins(HERE.replace(".", r"\."), [f"{HERE}.{name}" for name in names])


def outcomes(logits: Tensor, *draws: Draw, loaded: LogitsPlugins | None = None) -> list[Outcome]:
    logits = logits.clone()
    return Drawing(EOS, loaded or plugins()).draw(logits, draws, unsound(logits))


def token(logits: Tensor, drawn: Draw, loaded: LogitsPlugins | None = None) -> int:
    [outcome] = outcomes(logits[None], drawn, loaded=loaded)
    assert isinstance(outcome, Drawn), outcome
    return outcome.token_id


def error(logits: Tensor, drawn: Draw, loaded: LogitsPlugins | None = None) -> BatonError:
    [outcome] = outcomes(logits[None], drawn, loaded=loaded)
    assert isinstance(outcome, BatonError), outcome
    return outcome


def told(logits: Tensor, drawn: Draw) -> TokenLogprobs:
    [outcome] = outcomes(logits[None], drawn)
    assert isinstance(outcome, Drawn)
    assert outcome.logprobs is not None
    return outcome.logprobs


def shaped(logits: Tensor, drawn: Draw) -> list[float]:
    changed = logits[None].clone()
    assert not LogitsRules(EOS, plugins()).apply(changed, [drawn])
    values: list[float] = changed[0].tolist()
    return values


def rising() -> Tensor:
    """The higher the id the better."""
    return torch.arange(VOCAB, dtype=torch.float32) - 5.5


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


def test_a_processor_sees_the_answer_and_if_it_wants_the_prompt() -> None:
    def call(name: str, args: str = "", kwargs: str = "") -> tuple[ProcessorCall, ...]:
        return (ProcessorCall(f"{HERE}.{name}", args, kwargs),)

    assert token(rising(), draw((3, 4), processors=call("only_twice_the_last"))) == 8
    assert token(rising(), draw((4,), processors=call("only_the_prompts_first"))) == PROMPT[0]
    assert token(rising(), draw(processors=call("only", "[7]"))) == 7
    assert token(rising(), draw(processors=call("only", "[7]", '{"but": 6}'))) == 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{HERE}.nothing", "cannot be used"),
        (f"{HERE}_missing.only", "cannot be used"),
        ("os.system", "is not allowed"),
        (f"{HERE}.breaks", "has failed .KeyError: 'oh'"),
        (f"{HERE}.returns_no_number", "no number"),
    ],
)
def test_a_processor_that_cannot_be_used_ends_its_own_request(name: str, message: str) -> None:
    broken = draw(processors=(ProcessorCall(name),))
    [failure, healthy] = outcomes(rising().expand(2, -1), broken, draw())
    assert isinstance(failure, RequestError)
    assert message.split(" .")[0] in str(failure)
    assert healthy == Drawn(11)


def test_processors_are_checked_before_anything_is_computed() -> None:
    for params in (
        SamplingParams(1, 0, processors=(ProcessorCall("os.system"),)),
        SamplingParams(1, 0, processors=(ProcessorCall(f"{HERE}.nothing"),)),
    ):
        with pytest.raises(RequestError) as caught:
            plugins().check(params)
        assert caught.value.param == "logits_processors"
    with pytest.raises(RequestError, match="not allowed"):
        LogitsPlugins().check(SamplingParams(1, 0, processors=(ProcessorCall(f"{HERE}.only"),)))


def test_a_loaded_processor_is_steered_by_extra_arguments() -> None:
    loaded = plugins("Favours")
    assert token(rising(), draw(extra_args='{"favours": 3}'), loaded) == 3
    loaded.check(SamplingParams(1, 0, extra_args='{"favours": 3}'))
    for extra in ('{"favours": "x"}', '{"other": 1}'):
        with pytest.raises(RequestError) as caught:
            loaded.check(SamplingParams(1, 0, extra_args=extra))
        assert caught.value.param == "vllm_xargs"


def test_extra_arguments_that_nobody_takes_are_refused() -> None:
    with pytest.raises(RequestError, match="no logits processor of this server takes a"):
        plugins().check(SamplingParams(1, 0, extra_args='{"a": 1}'))


@pytest.mark.parametrize("name", ["missing", "breaks"])
def test_a_processor_that_cannot_be_loaded_stops_the_start(name: str) -> None:
    with pytest.raises(SettingsError, match=f"--logits-processors {HERE}.{name}"):
        plugins(name)


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


# -- log-probabilities


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
