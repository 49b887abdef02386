"""What a request asks for + the model's defaults -> the parameters that both workers get."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from baton.core.errors import RequestError
from baton.core.sampling_params import GREEDY_BELOW, SamplingParams
from gateway.limits import Limits, check_length
from gateway.params import token_wishes as wishes
from gateway.params.beams import with_beams
from gateway.params.generation_config import GenerationDefaults
from gateway.params.token_wishes import SamplingRules
from gateway.schema.common import GenerationRequest

T = TypeVar("T")
RandomBits = Callable[[int], int]  # so many of them

PLAIN_RULES = SamplingRules()
LOWEST_TEMPERATURE = 0.01  # anything warmer than greedy is at least this, as in vLLM


def resolve(
    request: GenerationRequest,
    defaults: GenerationDefaults,
    prompt_len: int,
    limits: Limits,
    default_max_tokens: int | None = None,
    rules: SamplingRules = PLAIN_RULES,
) -> SamplingParams:
    """`default_max_tokens` None: as many as fit. Too many are cut down to what fits."""
    settled = settle(request, defaults, limits, rules)
    return for_prompt(settled, request, defaults, prompt_len, limits, default_max_tokens)


def settle(
    request: GenerationRequest, defaults: GenerationDefaults, limits: Limits, rules: SamplingRules
) -> SamplingParams:
    """What is the same for all prompts of a request; `for_prompt` settles the rest."""
    temperature = _temperature(request, defaults)
    greedy = temperature < GREEDY_BELOW
    top_k = defaults.top_k if request.top_k is None else max(0, request.top_k)
    return SamplingParams(
        max_tokens=1,
        seed=0,
        temperature=0.0 if greedy else temperature,
        top_p=1.0 if greedy else _said(request.top_p, defaults.top_p),
        top_k=0 if greedy or top_k >= limits.vocab_size else top_k,
        min_p=0.0 if greedy else _said(request.min_p, defaults.min_p),
        n=_said(request.n, 1),
        ignore_eos=bool(request.ignore_eos),
        min_tokens=_said(request.min_tokens, 0),
        stop_token_ids=wishes.stop_token_ids(request, limits),
        repetition_penalty=_said(request.repetition_penalty, defaults.repetition_penalty),
        presence_penalty=_said(request.presence_penalty, 0.0),
        frequency_penalty=_said(request.frequency_penalty, 0.0),
        logit_bias=wishes.logit_bias(request, limits),
        allowed_token_ids=wishes.allowed_token_ids(request, limits),
        bad_words=wishes.bad_words(request, rules),
        logprobs=wishes.logprobs_count(
            request.wanted_logprobs, request.logprobs_field, rules, limits
        ),
        prompt_logprobs=wishes.logprobs_count(
            request.wanted_prompt_logprobs, "prompt_logprobs", rules, limits
        ),
        logprobs_mode=rules.logprobs_mode,
        processors=wishes.processors(request, rules),
        extra_args=wishes.extra_args(request),
    )


def for_prompt(
    settled: SamplingParams,
    request: GenerationRequest,
    defaults: GenerationDefaults,
    prompt_len: int,
    limits: Limits,
    default_max_tokens: int | None = None,
    random_bits: RandomBits = secrets.randbits,
) -> SamplingParams:
    """With a length that fits, and a seed of its own."""
    max_tokens = _max_tokens(request, defaults, prompt_len, limits, default_max_tokens)
    if settled.min_tokens > max_tokens:
        raise RequestError(
            f"min_tokens must be less than or equal to max_tokens={max_tokens}, got "
            f"{settled.min_tokens}",
            "min_tokens",
        )
    params = replace(settled, max_tokens=max_tokens, seed=_seed(request.seed, random_bits))
    return with_beams(request, params)


def check_prompt(prompt_ids: Sequence[int], limits: Limits, param: str) -> None:
    if not prompt_ids:
        raise RequestError("the prompt must hold at least one token", param)
    check_length(len(prompt_ids), limits, param)


def check_wanted(request: GenerationRequest, prompt_len: int, limits: Limits) -> None:
    """For --strict-max-tokens: raises RequestError where the answer would be cut down to fit."""
    room = limits.max_model_len - prompt_len
    if request.wanted_tokens is not None and request.wanted_tokens > room:
        newer = request.max_completion_tokens is not None
        name = "max_completion_tokens" if newer else "max_tokens"
        raise RequestError(
            f"{name} is too large: {request.wanted_tokens}. Behind a prompt of {prompt_len} tokens "
            f"there is room for {room}, of {limits.max_model_len}",
            name,
        )


def _temperature(request: GenerationRequest, defaults: GenerationDefaults) -> float:
    value = _said(request.temperature, defaults.temperature)
    return max(value, LOWEST_TEMPERATURE) if value > 0 else value


def _max_tokens(
    request: GenerationRequest,
    defaults: GenerationDefaults,
    prompt_len: int,
    limits: Limits,
    default: int | None,
) -> int:
    room = limits.max_model_len - prompt_len
    if request.wanted_tokens is not None:
        return max(1, min(request.wanted_tokens, room))  # of 0 tokens one is drawn, not shown
    bounds = (room, default, defaults.max_new_tokens)
    return min(bound for bound in bounds if bound is not None)


def check_greedy(settled: SamplingParams) -> None:
    """For --strict-greedy-n: raises RequestError where all n answers would be the same."""
    if settled.n > 1 and settled.temperature < GREEDY_BELOW and settled.beam is None:
        raise RequestError("n must be 1 when using greedy sampling", "n")


def _seed(asked: int | None, random_bits: RandomBits) -> int:
    """-1 means none, as in vLLM. A drawn one leaves room for seed + choice."""
    return random_bits(62) if asked is None or asked == -1 else asked


def _said(value: T | None, default: T) -> T:
    return default if value is None else value
