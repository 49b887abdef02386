"""What a request may ask of its answer's text, and how a wrong wish is told."""

import json
from typing import Any

import pytest

from baton.core.errors import RequestError
from gateway.limits import Limits
from gateway.output import OutputPlan
from gateway.params.generation_config import GenerationDefaults
from gateway.params.output_planner import OutputPlanner
from gateway.params.sampling import resolve
from gateway.params.token_wishes import SamplingRules
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.common import GenerationRequest
from gateway.schema.completion import CompletionRequest
from gateway.schema.parse import parse
from tests.support.gateway_output import EOS, TAGGED

PLANNER = OutputPlanner(TAGGED, primary_eos=EOS)
LIMITS = Limits(100, 512)


def chat(**fields: Any) -> ChatCompletionRequest:
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    return parse(ChatCompletionRequest, json.dumps(body).encode())


def completion(**fields: Any) -> CompletionRequest:
    return parse(CompletionRequest, json.dumps({"prompt": "x", **fields}).encode())


def prepared(asked: GenerationRequest) -> None:
    """All that looks at what is asked for before a worker hears of it."""
    PLANNER.plan(asked)
    resolve(asked, GenerationDefaults(), 5, LIMITS)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop": ""}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["a", 3]}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"stop": ["a"] * 65}, "stop"),
        ({"stop": "a" * 4097}, "stop"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"top_logprobs": -1, "logprobs": False}, "top_logprobs"),
        ({"top_logprobs": -2, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": "x", "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": -1, "logprobs": True}, "top_logprobs"),
        ({"logprobs": 3}, "logprobs"),
        ({"prompt_logprobs": -2}, "prompt_logprobs"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
        ({"prompt_logprobs": -1}, "prompt_logprobs"),
        ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
        ({"prompt_logprobs": -1, "stream": True}, "prompt_logprobs"),
        ({"include_reasoning": "perhaps"}, "include_reasoning"),
        ({"echo": 7}, "echo"),
    ],
)
def test_a_wrong_wish_names_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        prepared(chat(**fields))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": -2}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
    ],
)
def test_completions_have_bounds_too(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        prepared(completion(**fields))
    assert caught.value.param == param


def test_nothing_said_is_the_plain_plan() -> None:
    assert PLANNER.plan(chat(stop=None, echo=None)) == OutputPlan(primary_eos=EOS)


def test_what_is_said_reaches_the_plan() -> None:
    plan = PLANNER.plan(
        chat(
            stop=["a", "b", "a"],
            include_stop_str_in_output=True,
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            include_reasoning=False,
        )
    )
    assert plan.stop == ("a", "b")
    assert (plan.include_stop, plan.skip_special, plan.include_reasoning) == (True, False, False)
    assert PLANNER.plan(chat(stop="a")).stop == ("a",)
    assert PLANNER.plan(chat(stop=[])).stop == ()


@pytest.mark.parametrize(
    ("asked", "logprobs", "prompt_logprobs"),
    [
        (chat(), None, None),
        (chat(logprobs=True), 0, None),
        (chat(logprobs=True, top_logprobs=None), 0, None),
        (chat(logprobs=True, top_logprobs=5), 5, None),
        (chat(logprobs=False, top_logprobs=0), None, None),
        (chat(logprobs=True, top_logprobs=-1, prompt_logprobs=-1), 512, 512),
        (chat(prompt_logprobs=0), None, 0),
        (chat(prompt_logprobs=0, stream=True), None, None),
        (chat(echo=True), None, 0),
        (chat(echo=True, logprobs=True, top_logprobs=2), 2, 2),
        (chat(echo=True, stream=True), None, None),
        (completion(logprobs=3), 3, None),
        (completion(logprobs=3, echo=True), 3, 3),
        (completion(logprobs=3, echo=True, stream=True), 3, 3),
        (completion(echo=True), None, None),
        (completion(prompt_logprobs=0, stream=True), None, None),
        (completion(prompt_logprobs=2), None, 2),
    ],
)
def test_workers_are_asked_for_what_is_shown(
    asked: Any, logprobs: int | None, prompt_logprobs: int | None
) -> None:
    params = resolve(asked, GenerationDefaults(), 5, LIMITS, rules=SamplingRules(max_logprobs=-1))
    assert (params.logprobs, params.prompt_logprobs) == (logprobs, prompt_logprobs)


def test_a_prompt_alone_can_be_asked_for() -> None:
    asked = completion(echo=True, max_tokens=0)
    assert PLANNER.plan(asked).mute
    assert resolve(asked, GenerationDefaults(), 5, LIMITS).max_tokens == 1


def test_a_request_beats_the_servers_way_to_call_tokens() -> None:
    server = OutputPlanner(TAGGED, tokens_as_ids=True)
    assert server.names(chat()).name(97) == "token_id:97"
    assert server.names(chat(return_tokens_as_token_ids=False)).name(97) == "a"
