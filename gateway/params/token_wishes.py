"""Fields that name tokens, texts or plugins -> what workers get: checked, sorted, without doubles."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from baton.core.errors import RequestError
from baton.core.sampling_params import LogprobsMode, ProcessorCall
from gateway.limits import Limits
from gateway.schema.sampling_fields import ProcessorFields, SamplingFields

HIGHEST_BIAS = 100.0
ALL = -1  # as a number of log-probabilities: the whole vocabulary


def _no_tokenizer(text: str) -> list[int]:
    raise RequestError("this server has no tokenizer for bad words", "bad_words")


@dataclass(frozen=True, slots=True)
class SamplingRules:
    """What the operator allows. `encode` makes tokens of a text, without special ones."""

    max_logprobs: int = 20  # ALL: no bound
    logprobs_mode: LogprobsMode = LogprobsMode.RAW_LOGPROBS
    processor_pattern: str = ""  # of logits processors; empty: none
    encode: Callable[[str], list[int]] = _no_tokenizer


def logprobs_count(
    wanted: int | None, param: str, rules: SamplingRules, limits: Limits
) -> int | None:
    """How many alternatives workers tell of each token. Raises RequestError about `param`."""
    if wanted is None:
        return None
    if wanted < ALL:
        raise RequestError(f"{param} must be at least 0, or -1 for the whole vocabulary", param)
    count = limits.vocab_size if wanted == ALL else wanted
    if rules.max_logprobs != ALL and count > rules.max_logprobs:
        raise RequestError(
            f"{param} asks for {count} log-probabilities per token; this server tells at most "
            f"{rules.max_logprobs}",
            param,
        )
    return min(count, limits.vocab_size)


def stop_token_ids(asked: SamplingFields, limits: Limits) -> tuple[int, ...]:
    return _known(asked.stop_token_ids or (), "stop_token_ids", limits)


def allowed_token_ids(asked: SamplingFields, limits: Limits) -> tuple[int, ...]:
    return _known(asked.allowed_token_ids or (), "allowed_token_ids", limits)


def logit_bias(asked: SamplingFields, limits: Limits) -> tuple[tuple[int, float], ...]:
    bias = asked.logit_bias or {}
    return tuple(
        (token_id, max(-HIGHEST_BIAS, min(HIGHEST_BIAS, bias[token_id])))
        for token_id in _known(bias, "logit_bias", limits)
    )


def bad_words(asked: SamplingFields, rules: SamplingRules) -> tuple[tuple[int, ...], ...]:
    """Each word as it begins a text and as it stands within one. In order, each sequence once."""
    found: dict[tuple[int, ...], None] = {}
    for word in asked.bad_words:
        bare = word.lstrip()
        ways = [tuple(rules.encode(text)) for text in (bare, f" {bare}") if text]
        if not any(ways):
            raise RequestError(f"bad_words: {word!r} has no tokens", "bad_words")
        found.update(dict.fromkeys(filter(None, ways)))
    return tuple(found)


def processors(asked: SamplingFields, rules: SamplingRules) -> tuple[ProcessorCall, ...]:
    field = "logits_processors"
    calls = [_call(one) for one in asked.logits_processors or ()]
    if calls and not rules.processor_pattern:
        raise RequestError(f"{field} are not supported by this server", field)
    for call in calls:
        if not re.match(rules.processor_pattern, call.qualname):
            raise RequestError(f"{field}: {call.qualname} is not allowed on this server", field)
    return tuple(calls)


def extra_args(asked: SamplingFields) -> str:
    return json.dumps(asked.vllm_xargs) if asked.vllm_xargs else ""


def _known(ids: Iterable[int], param: str, limits: Limits) -> tuple[int, ...]:
    """Ascending, each once."""
    found = sorted(set(ids))
    foreign = [token_id for token_id in found if not 0 <= token_id < limits.vocab_size]
    if foreign:
        shown = ", ".join(map(str, foreign[:10])) + (", ..." if len(foreign) > 10 else "")
        raise RequestError(
            f"token_id(s) [{shown}] in {param} contain out-of-vocab token ids. "
            f"Vocabulary size: {limits.vocab_size}",
            param,
        )
    return tuple(found)


def _call(asked: str | ProcessorFields) -> ProcessorCall:
    if isinstance(asked, str):
        return ProcessorCall(asked)
    return ProcessorCall(
        asked.qualname, json.dumps(asked.args or []), json.dumps(asked.kwargs or {})
    )
