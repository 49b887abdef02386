"""Which requests are searched for, and with what."""

from dataclasses import replace
from typing import Any

import pytest

from baton.core.errors import RequestError
from baton.core.sampling_params import BeamSearch, SamplingParams
from gateway.limits import Limits
from gateway.params.beams import MAX_BEAMS, with_beams
from gateway.params.generation_config import GenerationDefaults
from gateway.params.sampling import resolve
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.parse import parse

MODELS_OWN = GenerationDefaults(temperature=0.3, top_p=0.8, top_k=20, max_new_tokens=30)
DRAWN = SamplingParams(max_tokens=30, seed=5, temperature=0.3, top_p=0.8, top_k=20)


class Wider(ChatCompletionRequest):
    """With every field of the contract that a search cannot act on, whatever becomes of it."""

    stop: Any = None
    stop_token_ids: Any = None
    logit_bias: Any = None
    structured_outputs: Any = None
    response_format: Any = None
    min_tokens: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    repetition_penalty: Any = None
    bad_words: Any = None
    allowed_token_ids: Any = None
    min_p: Any = None
    tool_choice: Any = None
    prompt_logprobs: Any = None
    echo: Any = None


def asked(**fields: Any) -> Wider:
    return Wider.model_validate({"messages": [{"role": "user"}], **fields})


def searched(**fields: Any) -> SamplingParams:
    request = asked(use_beam_search=True, **fields)
    drawn = replace(DRAWN, n=request.n or 1, ignore_eos=bool(request.ignore_eos))
    return with_beams(request, drawn)


def test_the_models_own_defaults_do_not_count_but_for_the_length() -> None:
    body = {"messages": [{"role": "user"}], "use_beam_search": True, "n": 3}
    request = ChatCompletionRequest.model_validate(body)
    params = resolve(request, MODELS_OWN, 40, Limits(max_model_len=100, vocab_size=50))
    assert params == SamplingParams(max_tokens=30, seed=0, n=3, beam=BeamSearch(1.0))


def test_what_a_search_can_act_on_acts() -> None:
    params = searched(n=2, temperature=0.5, length_penalty=0, ignore_eos=True, stream=True)
    assert params == SamplingParams(
        max_tokens=30, seed=0, n=2, temperature=0.5, ignore_eos=True, beam=BeamSearch(0.0)
    )


@pytest.mark.parametrize(("asked", "used"), [(0, 1.0), (0.001, 0.01), (2, 2.0)])
def test_the_temperature_warms_but_never_is_nought(asked: float, used: float) -> None:
    assert searched(temperature=asked).temperature == used


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stop", "x"),
        ("stop", ["x"]),
        ("stop_token_ids", [4]),
        ("seed", 1),
        ("logit_bias", {"4": 1}),
        ("structured_outputs", {"json": {}}),
        ("response_format", {"type": "json_object"}),
        ("min_tokens", 2),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -0.5),
        ("repetition_penalty", 1.1),
        ("bad_words", ["x"]),
        ("allowed_token_ids", [4]),
        ("top_p", 0.9),
        ("top_k", 5),
        ("min_p", 0.1),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("tools", [{"type": "function", "function": {"name": "f", "strict": True}}]),
        ("prompt_logprobs", 0),
        ("echo", True),
        ("n", MAX_BEAMS + 1),
    ],
)
def test_what_it_cannot_act_on_is_refused_by_name(name: str, value: object) -> None:
    if name != "n":
        assert with_beams(asked(**{name: value}), DRAWN) is DRAWN
    with pytest.raises(RequestError) as caught:
        searched(**{name: value})
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_p", 1),
        ("top_k", -1),
        ("presence_penalty", 0),
        ("stop", []),
        ("response_format", {"type": "text"}),
        ("tool_choice", "auto"),
        ("seed", None),
        ("n", MAX_BEAMS),
    ],
)
def test_a_value_that_changes_nothing_is_fine(name: str, value: object) -> None:
    assert searched(**{name: value}).beam == BeamSearch(1.0)


def test_a_length_penalty_alone_means_nothing_and_is_refused() -> None:
    for request in (asked(length_penalty=1), asked(length_penalty=1, use_beam_search=False)):
        with pytest.raises(RequestError) as caught:
            with_beams(request, DRAWN)
        assert caught.value.param == "length_penalty"
    assert with_beams(asked(use_beam_search=False), DRAWN) is DRAWN


@pytest.mark.parametrize("value", ["NaN", "1e999", "11", "-11", '"x"'])
def test_a_length_penalty_must_be_a_number_that_lengths_can_be_raised_to(value: str) -> None:
    body = f'{{"messages":[{{"role":"user"}}],"use_beam_search":true,"length_penalty":{value}}}'
    with pytest.raises(RequestError) as caught:
        parse(ChatCompletionRequest, body.encode())
    assert caught.value.param in ("length_penalty", None)
