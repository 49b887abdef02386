"""What a request asks for + the model's defaults -> the parameters that both workers get."""

import secrets
from collections.abc import Sequence
from typing import TypeVar

from baton.core.errors import RequestError
from baton.core.sampling_params import GREEDY_BELOW, SamplingParams
from gateway.beams import with_beams
from gateway.generation_config import GenerationDefaults
from gateway.limits import Limits, check_length
from gateway.schema.common import GenerationRequest

T = TypeVar("T")

LOWEST_TEMPERATURE = 0.01  # anything warmer than greedy is at least this, as in vLLM


def resolve(
    request: GenerationRequest,
    defaults: GenerationDefaults,
    prompt_len: int,
    limits: Limits,
    default_max_tokens: int | None = None,
) -> SamplingParams:
    """`default_max_tokens` None: as many as fit. Too many are cut down to what fits."""
    temperature = _temperature(request, defaults)
    greedy = temperature < GREEDY_BELOW
    top_k = defaults.top_k if request.top_k is None else max(0, request.top_k)
    params = SamplingParams(
        max_tokens=_max_tokens(request, defaults, prompt_len, limits, default_max_tokens),
        seed=_seed(request.seed),
        temperature=0.0 if greedy else temperature,
        top_p=1.0 if greedy else _said(request.top_p, defaults.top_p),
        top_k=0 if greedy or top_k >= limits.vocab_size else top_k,
        n=_said(request.n, 1),
        ignore_eos=bool(request.ignore_eos),
        logprobs=_alternatives(request.wanted_logprobs, limits),
        prompt_logprobs=_alternatives(request.wanted_prompt_logprobs, limits),
    )
    return with_beams(request, params)


def check_prompt(prompt_ids: Sequence[int], limits: Limits, param: str) -> None:
    if not prompt_ids:
        raise RequestError("the prompt must hold at least one token", param)
    check_length(len(prompt_ids), limits, param)


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


def _alternatives(wanted: int | None, limits: Limits) -> int | None:
    """-1 means the whole vocabulary."""
    return limits.vocab_size if wanted == -1 else wanted


def _seed(asked: int | None) -> int:
    """-1 means none, as in vLLM. A drawn one leaves room for seed + choice."""
    return secrets.randbits(62) if asked is None or asked == -1 else asked


def _said(value: T | None, default: T) -> T:
    return default if value is None else value
