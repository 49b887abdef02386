"""What a grammar lets a row draw, however its choice came to stand where it does."""

import json
import logging
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher
from tokenizers import Tokenizer

from baton.core.errors import BatonError, RequestError
from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Draw
from baton.engine.sampling.grammar_masks import COMPILED, STATES, GrammarMasks
from baton.grammars.compiled import compile_grammar
from baton.grammars.tokens import load_tokens
from tests.support.grammars import (
    EOS,
    ROWS,
    VOCAB,
    allowed_of,
    constrained,
    draw_of,
    tokenizer_in,
    write_tokenizer,
)

YES_NO = 'start: "yes" | "no"'
JSON = LLMatcher.grammar_from_json_schema(
    {"type": "object", "properties": {"a": {"type": "integer"}}}
)
NO_FORCING = '\n%llguidance {"no_forcing": true}'
PLAIN = SamplingParams(max_tokens=8, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("models") / "words")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return tokenizer_in(folder)


@pytest.fixture(scope="module")
def masks(folder: Path) -> GrammarMasks:
    return GrammarMasks(folder, ROWS, frozenset({EOS}))


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


def fresh(folder: Path) -> GrammarMasks:
    return GrammarMasks(folder, ROWS, frozenset({EOS}))


def allowed(masks: GrammarMasks, *draws: Draw) -> list[set[int]]:
    logits = torch.zeros(len(draws), ROWS)
    masks.begin(draws)
    assert masks.apply(logits, draws) == [None] * len(draws)
    return [allowed_of(row) for row in logits]


def fault(masks: GrammarMasks, draw: Draw) -> BatonError:
    logits = torch.zeros(1, ROWS)
    (error,) = masks.apply(logits, [draw])
    assert error is not None
    assert torch.isfinite(logits).all()
    return error


def test_a_row_without_a_grammar_is_left_alone_and_loads_nothing(tmp_path: Path) -> None:
    masks = GrammarMasks(tmp_path / "nothing", ROWS, frozenset({EOS}))

    assert allowed(masks, draw_of(PLAIN, [1, 2])) == [set(range(ROWS))]


def test_only_what_goes_on_in_the_grammar_is_allowed(
    masks: GrammarMasks, tokenizer: Tokenizer
) -> None:
    first, plain = allowed(masks, draw_of(constrained(YES_NO), []), draw_of(PLAIN, [], key="p"))

    assert {tokenizer.decode([i])[0] for i in first} == {"y", "n"}
    assert plain == set(range(ROWS))


def test_a_complete_answer_may_only_end(masks: GrammarMasks, tokenizer: Tokenizer) -> None:
    answer = ids(tokenizer, "yes")

    assert allowed(masks, draw_of(constrained(YES_NO), answer)) == [{EOS}]
    assert allowed(masks, draw_of(constrained(YES_NO, stops=(9,)), answer)) == [{EOS, 9}]


def test_an_answer_that_may_end_or_go_on_may_do_both(
    masks: GrammarMasks, tokenizer: Tokenizer
) -> None:
    (both,) = allowed(masks, draw_of(constrained("start: /a+/", stops=(9,)), ids(tokenizer, "a")))

    assert {EOS, 9, *ids(tokenizer, "a")} <= both


def test_the_end_is_not_allowed_before_the_grammar_is_complete(masks: GrammarMasks) -> None:
    for text in (YES_NO, JSON, 'start: "<|im_end|>"'):
        (first,) = allowed(masks, draw_of(constrained(text, stops=(9,)), []))
        assert EOS not in first
        assert 9 not in first


def test_ignoring_the_end_everything_goes_behind_a_complete_answer(
    masks: GrammarMasks, tokenizer: Tokenizer
) -> None:
    params, answer = constrained(YES_NO, ignore_eos=True), ids(tokenizer, "yes")

    assert allowed(masks, draw_of(params, answer)) == [set(range(ROWS))]
    assert allowed(masks, draw_of(params, [*answer, 77, EOS, 78])) == [set(range(ROWS))]


def test_padding_and_special_tokens_are_never_text(masks: GrammarMasks) -> None:
    (first,) = allowed(masks, draw_of(constrained(r"start: /(.|\n)*/"), []))

    assert max(first) < VOCAB
    assert first.isdisjoint({0, 1})
    assert len(first) > VOCAB // 2


def test_a_token_that_the_grammar_names_is_allowed_and_no_padding_with_it(
    masks: GrammarMasks,
) -> None:
    assert allowed(masks, draw_of(constrained('start: <[1]> "x"'), [])) == [{1}]
    assert allowed(masks, draw_of(constrained('start: <[650]> "x"'), [])) == [{650}]


def test_before_the_tag_that_the_grammar_waits_for_anything_goes(
    masks: GrammarMasks, tokenizer: Tokenizer
) -> None:
    tag = tuple(ids(tokenizer, "</think>"))
    assert len(tag) > 1
    params = constrained(YES_NO, after=tag)

    free = allowed(masks, draw_of(params, [40, *tag[:-1]]))
    (bound,) = allowed(masks, draw_of(params, [40, *tag]))
    ended = allowed(masks, draw_of(params, [40, *tag, *ids(tokenizer, "no")]))

    assert free == [set(range(ROWS))]
    assert EOS not in bound
    assert len(bound) < 10
    assert ended == [{EOS}]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_replayed_choice_stands_where_one_stands_that_went_step_by_step(
    folder: Path, masks: GrammarMasks, data: st.DataObject
) -> None:
    params = constrained(data.draw(st.sampled_from([YES_NO, JSON, "start: /[a-c]{2,9}/"])))
    answer: list[int] = []
    for _ in range(data.draw(st.integers(0, 12))):
        (now,) = allowed(masks, draw_of(params, answer, key="stepwise"))
        token = data.draw(st.sampled_from(sorted(now)))
        if token == EOS:
            break
        answer.append(token)
    stepwise = allowed(masks, draw_of(params, answer, key="stepwise"))

    assert allowed(masks, draw_of(params, answer, key=f"new {len(answer)} {answer}")) == stepwise


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["yes", "no"]), st.integers(0, 3))
def test_the_mask_is_what_llguidance_accepts(
    folder: Path, masks: GrammarMasks, tokenizer: Tokenizer, word: str, length: int
) -> None:
    tokens = load_tokens(folder, ROWS, {EOS}, logging.getLogger())
    answer = ids(tokenizer, word)[:length]
    text = YES_NO + NO_FORCING
    matcher = compile_grammar(text, tokens)
    assert matcher.consume_tokens(answer)
    accepted = {i for i in range(VOCAB) if matcher.validate_tokens([i])}

    (row,) = allowed(masks, draw_of(constrained(text), answer))
    (forced,) = allowed(masks, draw_of(constrained(YES_NO), answer))

    assert row - {EOS} == accepted - {EOS}
    assert (EOS in row) == matcher.is_accepting()
    assert forced <= row  # where text has no alternative only its usual spelling is left


def test_choices_of_one_request_go_their_own_ways(
    masks: GrammarMasks, tokenizer: Tokenizer
) -> None:
    params = constrained('start: "ab" "c" | "xy" "z"')
    start = allowed(masks, *(draw_of(params, [], choice=c) for c in range(2)))
    left, right = allowed(
        masks,
        draw_of(params, ids(tokenizer, "ab"), choice=0),
        draw_of(params, ids(tokenizer, "xy"), choice=1),
    )

    assert start[0] == start[1]
    assert {tokenizer.decode([i]) for i in left} == {"c"}
    assert {tokenizer.decode([i]) for i in right} == {"z"}


def test_another_request_under_a_used_key_starts_anew(
    masks: GrammarMasks, tokenizer: Tokenizer
) -> None:
    params = constrained(YES_NO)
    start = allowed(masks, draw_of(params, [], key="again"))
    allowed(masks, draw_of(params, ids(tokenizer, "yes"), key="again"))

    assert allowed(masks, draw_of(params, [], key="again")) == start
    other = constrained('start: "maybe"')
    assert allowed(masks, draw_of(other, [], key="again")) != start


def test_what_is_kept_is_bounded(folder: Path) -> None:
    masks = fresh(folder)
    for number in range(COMPILED + 5):
        allowed(masks, draw_of(constrained(f'start: "{number}"'), [], key=str(number)))
    for number in range(STATES + 5):
        allowed(masks, draw_of(constrained(YES_NO), [], key=str(number)))

    assert len(masks._compiled) == COMPILED
    assert len(masks._states) == STATES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start: nothing", "unknown name"),
        ("", "cannot be used"),
        (json.dumps({"grammars": [{"json_schema": {"type": "thing"}}]}), "Invalid type"),
        ("start: A\nA: /a/ & /b/", "no text satisfies"),
        ('start: "yes" A\nA: /a/ & /b/', "cannot|no token"),
    ],
)
def test_a_grammar_that_cannot_be_used_says_so(
    masks: GrammarMasks, tokenizer: Tokenizer, text: str, words: str
) -> None:
    answer = ids(tokenizer, "yes") if "yes" in text else []
    error = fault(masks, draw_of(constrained(text), answer, key=text))

    assert isinstance(error, RequestError)
    assert any(word in str(error) for word in words.split("|"))


def test_an_answer_that_left_its_grammar_is_our_fault(
    masks: GrammarMasks, tokenizer: Tokenizer
) -> None:
    error = fault(masks, draw_of(constrained(YES_NO), ids(tokenizer, "maybe"), key="left"))

    assert "left its grammar" in str(error)


def test_a_grammar_that_failed_once_is_not_kept(folder: Path, tokenizer: Tokenizer) -> None:
    masks = fresh(folder)
    allowed(masks, draw_of(constrained(YES_NO), [], key="good"))
    for _ in range(2):
        fault(masks, draw_of(constrained(YES_NO), ids(tokenizer, "maybe"), key="left"))

    assert not masks._compiled
    assert list(masks._states) == [("good", 0)]


def test_a_folder_without_a_tokenizer_cannot_do_it(tmp_path: Path) -> None:
    error = fault(GrammarMasks(tmp_path, ROWS, frozenset({EOS})), draw_of(constrained(YES_NO), []))

    assert "tokenizer.json" in str(error)
    assert isinstance(error, RequestError)


def test_without_an_end_of_sequence_an_answer_goes_on_freely(
    folder: Path, tokenizer: Tokenizer
) -> None:
    masks = GrammarMasks(folder, ROWS, frozenset())
    (some,) = allowed(masks, draw_of(constrained("start: /a+/"), ids(tokenizer, "a")))
    after = allowed(masks, draw_of(constrained(YES_NO), ids(tokenizer, "yes")))

    assert some.isdisjoint({0, 1, EOS})
    assert after == [set(range(ROWS))]
