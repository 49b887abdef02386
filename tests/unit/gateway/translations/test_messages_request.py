"""A request of Anthropic's Messages API as a chat request."""

from typing import Any

import pytest

from baton.core.errors import RequestError
from gateway.errors import ErrorReply
from gateway.json_text import to_json
from gateway.schema.messages import REFUSED_IN_MESSAGES, MessagesRequest
from gateway.translations.messages_error import anthropic_error, is_anthropic
from gateway.translations.messages_request import chat_request
from gateway.translations.reading import read

HI = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object"}


def chat(**fields: Any) -> dict[str, Any]:
    body = to_json({"messages": HI, "max_tokens": 9, **fields}).encode()
    found = chat_request(read(MessagesRequest, REFUSED_IN_MESSAGES, body))
    if "thinking" not in fields:
        told = found.pop("chat_template_kwargs", None)
        assert told == {"enable_thinking": False}
    return found


def test_a_plain_question_is_one_message_with_its_limit() -> None:
    assert chat() == {"messages": HI, "max_completion_tokens": 9}


def test_each_field_goes_to_its_counterpart() -> None:
    found = chat(
        model="m",
        system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        tools=[{"name": "f", "description": "d", "input_schema": SCHEMA}],
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        stream=True,
        min_p=0.1,
    )
    assert found == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, *HI],
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "stop": ["END"],
        "user": "u",
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": SCHEMA},
            }
        ],
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA},
        },
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "min_p": 0.1,
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            {
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "parallel_tool_calls": False,
            },
        ),
    ],
)
def test_the_choice_of_tools(choice: dict[str, Any], expected: dict[str, Any]) -> None:
    found = chat(tool_choice=choice)
    assert {k: v for k, v in found.items() if "tool" in k} == expected


@pytest.mark.parametrize(
    ("thinking", "thinks"),
    [
        ({"type": "enabled", "budget_tokens": 8}, True),
        ({"type": "adaptive"}, True),
        ({"type": "disabled"}, False),
    ],
)
def test_thinking_is_told_to_the_template(thinking: dict[str, Any], thinks: bool) -> None:
    assert chat(thinking=thinking)["chat_template_kwargs"] == {"enable_thinking": thinks}


def test_what_the_request_tells_the_template_itself_wins() -> None:
    own = {"enable_thinking": True, "mood": "good"}
    found = chat(thinking={"type": "disabled"}, chat_template_kwargs=own)
    assert found["chat_template_kwargs"] == own


def test_blocks_become_messages_in_their_order() -> None:
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"city": "東京"}},
                {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "1"},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "content": [{"type": "text", "text": "2"}],
                    "is_error": True,
                },
                {"type": "text", "text": "b"},
                {"type": "text", "text": "c"},
            ],
        },
    ]
    assert chat(messages=turns)["messages"] == [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": "a",
            "reasoning": "hm",
            "tool_calls": [
                {
                    "id": "t1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"city":"東京"}'},
                },
                {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "1"},
        {
            "role": "tool",
            "tool_call_id": "t2",
            "content": [{"type": "text", "text": "Error:"}, {"type": "text", "text": "2"}],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}],
        },
    ]


def test_a_last_message_of_the_assistant_is_gone_on_with() -> None:
    found = chat(messages=[*HI, {"role": "assistant", "content": "Once upon"}])
    assert found["continue_final_message"] is True
    assert "continue_final_message" not in chat()


def test_fields_without_a_counterpart_are_refused() -> None:
    for name in ("container", "mcp_servers", "return_token_ids"):
        with pytest.raises(RequestError) as caught:
            chat(**{name: True})
        assert caught.value.param == name


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
    ],
)
def test_errors_have_anthropics_types(status: int, kind: str) -> None:
    body = anthropic_error(ErrorReply(status, "X", "is odd", "top_k"))
    assert body == {"type": "error", "error": {"type": kind, "message": "top_k: is odd"}}


def test_which_paths_are_anthropics() -> None:
    assert is_anthropic("/v1/messages")
    assert is_anthropic("/v1/messages/count_tokens")
    assert not is_anthropic("/v1/messagesx")
