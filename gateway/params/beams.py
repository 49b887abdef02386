"""Which requests may be searched for, and with what parameters."""

from typing import Any

from baton.core.errors import RequestError
from baton.core.sampling_params import BeamSearch, SamplingParams
from gateway.schema.beam_fields import BeamFields
from gateway.schema.common import GenerationRequest

MAX_BEAMS = 16
LOWEST_TEMPERATURE = 0.01  # as where tokens are drawn

# Fields that change what is drawn, with the values that change nothing. A search cannot act on them.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "allowed_token_ids": (),
    "bad_words": ([],),
    "echo": (False,),
    "frequency_penalty": (0,),
    "guided_choice": (),
    "guided_grammar": (),
    "guided_json": (),
    "guided_regex": (),
    "logit_bias": ({},),
    "logits_processors": ([],),
    "min_p": (0,),
    "min_tokens": (0,),
    "presence_penalty": (0,),
    "prompt_logprobs": (),
    "repetition_penalty": (1,),
    "seed": (),
    "stop": ([], ""),
    "stop_token_ids": ([],),
    "structural_tag": (),
    "structured_outputs": (),
    "top_k": (0, -1),
    "top_p": (1,),
    "vllm_xargs": ({},),
}


def with_beams(request: GenerationRequest, params: SamplingParams) -> SamplingParams:
    """`params` as resolved for drawing; unchanged unless a search is asked for.

    Raises RequestError with the field that a search cannot act on.
    """
    if not isinstance(request, BeamFields):
        return params
    if not request.use_beam_search:
        if request.length_penalty is not None:
            raise RequestError("length_penalty needs use_beam_search", "length_penalty")
        return params
    _check_fields(request)
    if params.n > MAX_BEAMS:
        raise RequestError(f"n must be at most {MAX_BEAMS} with use_beam_search", "n")
    return SamplingParams(
        max_tokens=params.max_tokens,
        seed=0,
        temperature=_temperature(request.temperature),
        n=params.n,
        ignore_eos=params.ignore_eos,
        logprobs=params.logprobs,
        logprobs_mode=params.logprobs_mode,
        beam=BeamSearch(1.0 if request.length_penalty is None else request.length_penalty),
    )


def _check_fields(request: GenerationRequest) -> None:
    for name in sorted(request.model_fields_set):
        value = getattr(request, name)
        neutral = value is None or value in _NEUTRAL.get(name, (value,))
        if name == "response_format":
            neutral = _kind(value) == "text"
        elif name == "tool_choice":
            neutral = value in ("auto", "none")
        elif name == "tools":
            neutral = not any(tool.function.strict for tool in value or ())
        if not neutral:
            raise RequestError(f"{name} is not possible with use_beam_search", name)


def _kind(value: Any) -> object:
    return value.get("type") if isinstance(value, dict) else getattr(value, "type", None)


def _temperature(asked: float | None) -> float:
    """The model's own default does not count; there is no noise that 0 could take away."""
    return max(asked, LOWEST_TEMPERATURE) if asked else 1.0
