"""A request of the Responses API as a chat request."""

from typing import Any

import pytest

from baton.core.errors import NotFoundError, RequestError
from gateway.json_text import to_json
from gateway.schema.foreign import foreign_keys
from gateway.schema.responses import REFUSED_IN_RESPONSES, ResponsesRequest
from gateway.translations.reading import read
from gateway.translations.responses_request import NAMES, chat_request, sealed
from gateway.translations.told_as import told_as

FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}


def asked(**fields: Any) -> ResponsesRequest:
    body = to_json({"input": "hi", **fields}).encode()
    return read(ResponsesRequest, REFUSED_IN_RESPONSES, body)


def chat(**fields: Any) -> dict[str, Any]:
    return chat_request(asked(**fields), [])


def messages(*items: object, **fields: Any) -> Any:
    return chat(input=list(items), **fields)["messages"]


def test_a_plain_question_is_one_message_and_nothing_else() -> None:
    assert chat() == {"messages": [{"role": "user", "content": "hi"}]}


def test_instructions_come_first_then_the_earlier_conversation() -> None:
    earlier = [{"role": "user", "content": "0"}, {"role": "assistant", "content": "1"}]
    found = chat_request(asked(instructions="Be brief."), earlier)["messages"]
    assert [m["content"] for m in found] == ["Be brief.", "0", "1", "hi"]
    assert found[0]["role"] == "system"


def test_each_field_goes_to_its_counterpart() -> None:
    found = chat(
        model="m",
        max_output_tokens=5,
        temperature=0.5,
        top_p=0.9,
        include=["message.output_text.logprobs"],
        tools=[FUNCTION],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        reasoning={"effort": "low"},
        user="u",
        seed=3,
    )
    del found["messages"]
    function = {key: value for key, value in FUNCTION.items() if key != "type"}
    assert found == {
        "model": "m",
        "max_completion_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "logprobs": True,
        "top_logprobs": 0,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "user": "u",
        "seed": 3,
    }


def test_a_stream_asks_for_its_usage() -> None:
    assert chat(stream=True)["stream_options"] == {"include_usage": True}


def test_alternatives_turn_log_probabilities_on() -> None:
    assert (chat(top_logprobs=2)["logprobs"], chat(top_logprobs=2)["top_logprobs"]) == (True, 2)
    assert "logprobs" not in chat(top_logprobs=0)


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            },
        ),
    ],
)
def test_the_format_of_text(format: dict[str, Any], expected: object) -> None:
    assert chat(text={"format": format}).get("response_format") == expected


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "42"}
TOOL_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "m", "role": "assistant", "content": [part]}


def thought(text: str) -> dict[str, Any]:
    part = {"type": "reasoning_text", "text": text}
    return {"type": "reasoning", "id": "r", "summary": [], "content": [part]}


def test_one_turn_of_the_assistant_is_one_message() -> None:
    found = messages({"role": "user", "content": "q"}, thought("hm"), said("a"), CALL, OUTPUT)
    assert found == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "reasoning": "hm", "content": "a", "tool_calls": [TOOL_CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
    ]


def test_calls_side_by_side_stay_together_and_what_comes_after_them_is_another_turn() -> None:
    found = messages(CALL, CALL, said("a"), said("b"), thought("hm"), CALL)
    assert found == [
        {"role": "assistant", "tool_calls": [TOOL_CALL, TOOL_CALL]},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "assistant", "reasoning": "hm", "tool_calls": [TOOL_CALL]},
    ]


def test_several_parts_stay_parts() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]
    (message,) = messages({"role": "developer", "content": parts})
    assert message["role"] == "developer"
    assert message["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


def test_reasoning_comes_back_sealed_or_summed_up() -> None:
    item = {"type": "reasoning", "summary": [], "encrypted_content": sealed("hm 東京")}
    assert messages(item) == [{"role": "assistant", "reasoning": "hm 東京"}]
    summary = [{"type": "summary_text", "text": "hm"}]
    assert messages({"type": "reasoning", "summary": summary})[0]["reasoning"] == "hm"
    for wrong in ("other", "baton:***"):
        with pytest.raises(RequestError, match="encrypted_content"):
            messages({"type": "reasoning", "summary": [], "encrypted_content": wrong})


def test_foreign_keys_are_found_at_every_depth() -> None:
    request = asked(input=[{"role": "user", "content": "x", "mood": 1}, OUTPUT | {"mood": 2}])
    assert foreign_keys(request) == ["input.mood"]


def test_an_error_inside_is_told_by_the_name_outside() -> None:
    with pytest.raises(RequestError) as caught, told_as(NAMES):
        raise RequestError("messages.3.content: is odd; messages are long", "messages")
    assert caught.value.param == "input"
    assert str(caught.value) == "input: is odd; input are long"
    with pytest.raises(RequestError) as caught, told_as(NAMES):
        raise RequestError("temperature: no", "temperature")
    assert caught.value.param == "temperature"
    with pytest.raises(NotFoundError), told_as(NAMES):
        raise NotFoundError("no such model", "model")
