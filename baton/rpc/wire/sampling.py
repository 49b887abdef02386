"""What a request asks of its tokens."""

from baton.core.sampling_params import (
    BeamSearch,
    Grammar,
    GrammarBackend,
    LogprobsMode,
    ProcessorCall,
    SamplingParams,
)
from baton.v1 import types_pb2

_MODE = {
    LogprobsMode.RAW_LOGPROBS: types_pb2.LOGPROBS_MODE_UNSPECIFIED,
    LogprobsMode.RAW_LOGITS: types_pb2.LOGPROBS_MODE_RAW_LOGITS,
    LogprobsMode.PROCESSED_LOGPROBS: types_pb2.LOGPROBS_MODE_PROCESSED_LOGPROBS,
    LogprobsMode.PROCESSED_LOGITS: types_pb2.LOGPROBS_MODE_PROCESSED_LOGITS,
}
_MODE_BACK = {wire: core for core, wire in _MODE.items()}
_BACKEND = {
    GrammarBackend.GUIDANCE: types_pb2.GRAMMAR_BACKEND_UNSPECIFIED,
    GrammarBackend.XGRAMMAR: types_pb2.GRAMMAR_BACKEND_XGRAMMAR,
}
_BACKEND_BACK = {wire: core for core, wire in _BACKEND.items()}


def sampling_to_pb(params: SamplingParams) -> types_pb2.SamplingParams:
    return types_pb2.SamplingParams(
        max_tokens=params.max_tokens,
        seed=params.seed,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        n=params.n,
        ignore_eos=params.ignore_eos,
        min_p=params.min_p,
        min_tokens=params.min_tokens,
        stop_token_ids=params.stop_token_ids,
        repetition_penalty=params.repetition_penalty,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        logit_bias_ids=[token_id for token_id, _ in params.logit_bias],
        logit_bias_values=[value for _, value in params.logit_bias],
        allowed_token_ids=params.allowed_token_ids,
        bad_words=[types_pb2.TokenSequence(token_ids=word) for word in params.bad_words],
        logprobs=params.logprobs,
        prompt_logprobs=params.prompt_logprobs,
        logprobs_mode=_MODE[params.logprobs_mode],
        grammar=_grammar_to_pb(params.grammar),
        beam=_beam_to_pb(params.beam),
        processors=[
            types_pb2.ProcessorCall(qualname=call.qualname, args=call.args, kwargs=call.kwargs)
            for call in params.processors
        ],
        extra_args=params.extra_args,
    )


def sampling_from_pb(message: types_pb2.SamplingParams) -> SamplingParams:
    return SamplingParams(
        max_tokens=message.max_tokens,
        seed=message.seed,
        temperature=message.temperature,
        top_p=message.top_p,
        top_k=message.top_k,
        n=message.n,
        ignore_eos=message.ignore_eos,
        min_p=message.min_p,
        min_tokens=message.min_tokens,
        stop_token_ids=tuple(message.stop_token_ids),
        repetition_penalty=message.repetition_penalty,
        presence_penalty=message.presence_penalty,
        frequency_penalty=message.frequency_penalty,
        logit_bias=tuple(zip(message.logit_bias_ids, message.logit_bias_values, strict=True)),
        allowed_token_ids=tuple(message.allowed_token_ids),
        bad_words=tuple(tuple(word.token_ids) for word in message.bad_words),
        logprobs=message.logprobs if message.HasField("logprobs") else None,
        prompt_logprobs=message.prompt_logprobs if message.HasField("prompt_logprobs") else None,
        logprobs_mode=_MODE_BACK[message.logprobs_mode],
        grammar=_grammar_from_pb(message.grammar) if message.HasField("grammar") else None,
        beam=BeamSearch(message.beam.length_penalty) if message.HasField("beam") else None,
        processors=tuple(ProcessorCall(c.qualname, c.args, c.kwargs) for c in message.processors),
        extra_args=message.extra_args,
    )


def _grammar_to_pb(grammar: Grammar | None) -> types_pb2.Grammar | None:
    if grammar is None:
        return None
    return types_pb2.Grammar(
        text=grammar.text, after=grammar.after, backend=_BACKEND[grammar.backend]
    )


def _grammar_from_pb(message: types_pb2.Grammar) -> Grammar:
    return Grammar(message.text, tuple(message.after), _BACKEND_BACK[message.backend])


def _beam_to_pb(beam: BeamSearch | None) -> types_pb2.BeamSearch | None:
    return None if beam is None else types_pb2.BeamSearch(length_penalty=beam.length_penalty)
