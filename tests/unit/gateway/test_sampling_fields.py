"""Fields that shape the draw: their ranges, their refusals, and what workers are told."""

import json
from typing import Any

import pytest

from baton.core.errors import RequestError, SettingsError
from baton.core.sampling_params import LogprobsMode, ProcessorCall, SamplingParams
from gateway.limits import Limits
from gateway.params.generation_config import GenerationDefaults
from gateway.params.sampling import PLAIN_RULES, resolve, settle
from gateway.params.token_wishes import SamplingRules, logprobs_count
from gateway.prompts.tokenizer import ChatTokenizer
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.common import GenerationRequest
from gateway.schema.completion import CompletionRequest
from gateway.schema.parse import parse
from gateway.settings import GatewaySettings

LIMITS = Limits(max_model_len=100, vocab_size=50)


def chat(**fields: Any) -> GenerationRequest:
    messages = [{"role": "user", "content": "hi"}]
    return parse(ChatCompletionRequest, json.dumps({"messages": messages, **fields}).encode())


def completion(**fields: Any) -> GenerationRequest:
    return parse(CompletionRequest, json.dumps({"prompt": "hi", **fields}).encode())


def resolved(
    rules: SamplingRules = PLAIN_RULES, limits: Limits = LIMITS, **fields: Any
) -> SamplingParams:
    return resolve(chat(seed=1, **fields), GenerationDefaults(), 40, limits, None, rules)


@pytest.mark.parametrize("ask", [chat, completion])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("min_p", float("nan")),
        ("min_tokens", -1),
        ("min_tokens", 1.5),
        ("stop_token_ids", 3),
        ("stop_token_ids", ["x"]),
        ("stop_token_ids", [-1]),
        ("frequency_penalty", 2.1),
        ("frequency_penalty", float("inf")),
        ("presence_penalty", -2.1),
        ("repetition_penalty", 0),
        ("repetition_penalty", -1),
        ("repetition_penalty", float("inf")),
        ("logit_bias", [1]),
        ("logit_bias", {"x": 1}),
        ("logit_bias", {"1.5": 1}),
        ("logit_bias", {"1": "much"}),
        ("logit_bias", {"1": float("nan")}),
        ("allowed_token_ids", []),
        ("allowed_token_ids", [-1]),
        ("allowed_token_ids", [1.5]),
        ("bad_words", None),
        ("bad_words", "word"),
        ("bad_words", [""]),
        ("bad_words", [5]),
        ("logits_processors", "a.b"),
        ("logits_processors", [5]),
        ("logits_processors", [{"args": []}]),
        ("logits_processors", [{"qualname": "a.b", "more": 1}]),
        ("logits_processors", [{"qualname": "a.b", "args": {}}]),
        ("vllm_xargs", [1]),
        ("vllm_xargs", {"a": {"b": 1}}),
        ("vllm_xargs", {"a": [[1]]}),
        ("vllm_xargs", {"a": None}),
        ("vllm_xargs", {"a": float("nan")}),
    ],
)
def test_a_value_out_of_range_is_refused_under_its_field(ask: Any, field: str, value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        ask(**{field: value})
    assert caught.value.param == field


@pytest.mark.parametrize("ask", [chat, completion])
def test_null_means_left_out_where_the_contract_allows_it(ask: Any) -> None:
    names = """min_p min_tokens stop_token_ids frequency_penalty presence_penalty
        repetition_penalty logit_bias allowed_token_ids logits_processors vllm_xargs"""
    asked = ask(**dict.fromkeys(names.split()), seed=1)
    params = resolve(asked, GenerationDefaults(), 40, LIMITS)
    assert params == SamplingParams(max_tokens=60, seed=1)


def test_every_field_reaches_the_workers_in_one_form() -> None:
    rules = SamplingRules(
        logprobs_mode=LogprobsMode.PROCESSED_LOGPROBS,
        processor_pattern="mine",
        encode=lambda text: [len(text)],
    )
    params = resolved(
        rules,
        min_p=0.1,
        min_tokens="3",
        stop_token_ids=[9, 4, 9],
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        repetition_penalty=1.25,
        logit_bias={"7": 1e9, "3": -1e9, "05": "0.5"},
        allowed_token_ids=[8, 2, 8],
        bad_words=["bad", " bad"],
        logits_processors=["mine.a", {"qualname": "mine.b", "args": [1], "kwargs": {"c": 2}}],
        vllm_xargs={"a": "x", "b": [1, 2.5]},
    )
    assert params == SamplingParams(
        max_tokens=60,
        seed=1,
        min_p=0.1,
        min_tokens=3,
        stop_token_ids=(4, 9),
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        repetition_penalty=1.25,
        logit_bias=((3, -100.0), (5, 0.5), (7, 100.0)),
        allowed_token_ids=(2, 8),
        bad_words=((3,), (4,)),
        logprobs_mode=LogprobsMode.PROCESSED_LOGPROBS,
        processors=(ProcessorCall("mine.a"), ProcessorCall("mine.b", "[1]", '{"c": 2}')),
        extra_args='{"a": "x", "b": [1, 2.5]}',
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stop_token_ids", [3, 50]),
        ("allowed_token_ids", [50]),
        ("logit_bias", {"50": 1}),
        ("logit_bias", {"-1": 1}),
    ],
)
def test_a_token_outside_of_the_vocabulary_is_refused(field: str, value: Any) -> None:
    with pytest.raises(
        RequestError, match=rf"in {field} contain out-of-vocab.* size: 50"
    ) as caught:
        resolved(**{field: value})
    assert caught.value.param == field


def test_min_tokens_may_not_exceed_what_the_answer_may_have() -> None:
    assert resolved(min_tokens=5, max_tokens=5).min_tokens == 5
    short: list[dict[str, Any]] = [{"max_tokens": 4}, {"max_completion_tokens": 4}]
    for fields in short:
        with pytest.raises(RequestError, match="less than or equal to max_tokens=4") as caught:
            resolved(min_tokens=5, **fields)
        assert caught.value.param == "min_tokens"
    with pytest.raises(RequestError, match="max_tokens=60"):
        resolved(min_tokens=61)


def test_a_bad_word_is_meant_at_the_beginning_and_within_a_text(tokenizer: ChatTokenizer) -> None:
    rules = SamplingRules(encode=tokenizer.ids_of)
    limits = Limits(100, 512)
    bare, spaced = tokenizer.ids_of("fox"), tokenizer.ids_of(" fox")
    assert bare != spaced
    assert resolved(rules, limits, bad_words=["fox"]).bad_words == (tuple(bare), tuple(spaced))
    assert resolved(rules, limits, bad_words=[" "]).bad_words == (tuple(tokenizer.ids_of(" ")),)


def test_logits_processors_need_a_pattern_that_matches_their_name() -> None:
    with pytest.raises(RequestError, match="not supported by this server") as caught:
        resolved(logits_processors=["os.system"])
    assert caught.value.param == "logits_processors"
    rules = SamplingRules(processor_pattern=r"mine\.")
    assert resolved(rules, logits_processors=["mine.one"]).processors == (
        ProcessorCall("mine.one"),
    )
    for name in ("os.system", "not.mine.one"):
        with pytest.raises(RequestError, match="is not allowed"):
            resolved(rules, logits_processors=[name])
    assert resolved(logits_processors=[]).processors == ()


@pytest.mark.parametrize(("asked", "told"), [(None, None), (0, 0), (7, 7), (20, 20)])
def test_so_many_log_probabilities_are_told_as_are_asked_for(
    asked: int | None, told: int | None
) -> None:
    assert logprobs_count(asked, "top_logprobs", SamplingRules(), LIMITS) == told


def test_more_log_probabilities_than_the_server_tells_are_refused() -> None:
    for asked in (21, -1, -2):
        with pytest.raises(RequestError, match="prompt_logprobs") as caught:
            logprobs_count(asked, "prompt_logprobs", SamplingRules(), LIMITS)
        assert caught.value.param == "prompt_logprobs"
    everything = SamplingRules(max_logprobs=-1)
    assert logprobs_count(-1, "logprobs", everything, LIMITS) == 50
    assert logprobs_count(1000, "logprobs", everything, LIMITS) == 50
    assert logprobs_count(-1, "logprobs", SamplingRules(max_logprobs=50), LIMITS) == 50


def test_what_all_prompts_share_is_settled_without_their_lengths() -> None:
    settled = settle(chat(min_p=0.5), GenerationDefaults(), LIMITS, PLAIN_RULES)
    assert settled.min_p == 0.5


@pytest.mark.parametrize(
    "wrong", [{"max_logprobs": -2}, {"logits_processor_pattern": "("}], ids=lambda w: next(iter(w))
)
def test_settings_that_make_no_sense_stop_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="--" + next(iter(wrong)).replace("_", "-")):
        GatewaySettings(model="m", **wrong).check()
