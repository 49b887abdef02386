"""From what was asked for, and what the model brings along, to the workers' parameters."""

import json
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import RequestError, SettingsError
from baton.core.sampling_params import SamplingParams
from gateway.limits import Limits
from gateway.params.generation_config import GenerationDefaults, defaults_from, load_defaults
from gateway.params.sampling import check_prompt, check_wanted, resolve
from gateway.schema.chat import ChatCompletionRequest

LIMITS = Limits(max_model_len=100, vocab_size=50)
PLAIN = GenerationDefaults()


def resolved(
    defaults: GenerationDefaults = PLAIN, default_max_tokens: int | None = None, **fields: Any
) -> SamplingParams:
    request = ChatCompletionRequest.model_validate({"messages": [{"role": "user"}], **fields})
    return resolve(request, defaults, 40, LIMITS, default_max_tokens)


def test_nothing_said_means_the_openai_defaults_and_all_the_room() -> None:
    params = resolved(seed=5)
    assert params == SamplingParams(max_tokens=60, seed=5)


def test_a_token_limit_is_cut_to_the_room() -> None:
    assert resolved(max_tokens=7).max_tokens == 7
    assert resolved(max_tokens=1000).max_tokens == 60
    assert resolved(default_max_tokens=16).max_tokens == 16


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_where_limits_are_strict_one_that_does_not_fit_is_refused(name: str) -> None:
    def asked(count: int) -> ChatCompletionRequest:
        return ChatCompletionRequest.model_validate({"messages": [{"role": "user"}], name: count})

    check_wanted(asked(60), 40, LIMITS)
    with pytest.raises(RequestError, match="room for 60, of 100") as caught:
        check_wanted(asked(61), 40, LIMITS)
    assert caught.value.param == name


def test_the_models_own_limit_counts_only_when_nothing_is_asked_for() -> None:
    defaults = GenerationDefaults(max_new_tokens=9)
    assert resolved(defaults).max_tokens == 9
    assert resolved(defaults, max_tokens=20).max_tokens == 20


def test_the_models_defaults_fill_what_is_not_said() -> None:
    defaults = GenerationDefaults(0.7, 0.8, 20, min_p=0.1, repetition_penalty=1.2)
    params = resolved(defaults)
    assert (params.temperature, params.top_p, params.top_k) == (0.7, 0.8, 20)
    assert (params.min_p, params.repetition_penalty) == (0.1, 1.2)
    said = {"temperature": 1, "top_p": 1, "top_k": -1, "min_p": 0, "repetition_penalty": 1}
    params = resolved(defaults, seed=1, **said)
    assert params == SamplingParams(max_tokens=60, seed=1)


def test_greedy_ignores_what_only_sampling_needs() -> None:
    params = resolved(temperature=0, top_p=0.5, top_k=3, min_p=0.2, seed=1)
    assert params == SamplingParams(max_tokens=60, seed=1, temperature=0.0)


def test_almost_greedy_is_not_greedy() -> None:
    assert resolved(temperature=1e-6).temperature == 0.01


def test_top_k_beyond_the_vocabulary_is_off() -> None:
    assert resolved(top_k=49).top_k == 49
    assert resolved(top_k=50).top_k == 0


def test_a_seed_is_drawn_when_none_is_given() -> None:
    drawn = {resolved(seed=seed).seed for seed in (None, -1) for _ in range(5)}
    assert len(drawn) == 10
    assert all(0 <= seed < 1 << 62 for seed in drawn)
    assert resolved(seed=-7).seed == -7


def test_a_prompt_must_leave_room_for_an_answer() -> None:
    check_prompt([1] * 99, LIMITS, "messages")
    with pytest.raises(RequestError, match="maximum context length is 100") as caught:
        check_prompt([1] * 100, LIMITS, "messages")
    assert caught.value.param == "messages"
    with pytest.raises(RequestError):
        check_prompt([], LIMITS, "prompt")


def test_defaults_are_read_from_the_models_folder(tmp_path: Path) -> None:
    assert load_defaults(tmp_path) == PLAIN
    values = {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [1, 2]}
    (tmp_path / "generation_config.json").write_text(json.dumps(values))
    assert load_defaults(tmp_path) == GenerationDefaults(0.6, 0.95, 20)
    (tmp_path / "generation_config.json").write_text('{"repetition_penalty": 1.1, "min_p": 0.05}')
    assert load_defaults(tmp_path) == GenerationDefaults(repetition_penalty=1.1, min_p=0.05)


@pytest.mark.parametrize(
    "values", [{"temperature": -1}, {"top_p": 0}, {"top_p": 2}, {"top_k": "x"}, {"top_p": True}]
)
def test_a_senseless_default_stops_the_start(values: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        defaults_from(values)
    with pytest.raises(SettingsError):
        defaults_from({"max_new_tokens": 0})
