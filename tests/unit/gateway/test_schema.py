"""Bodies: what is taken, what is refused, and under which name."""

import json
from typing import Any

import pytest

from baton.core.errors import RequestError
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.completion import CompletionRequest
from gateway.schema.fields import DANGEROUS
from gateway.schema.parse import parse, refuse_unknown

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> ChatCompletionRequest:
    return parse(ChatCompletionRequest, json.dumps({"messages": MESSAGES, **fields}).encode())


def completion(**fields: Any) -> CompletionRequest:
    return parse(CompletionRequest, json.dumps({"prompt": "hi", **fields}).encode())


def refused_chat(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        chat(**fields)
    return caught.value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 3.5),
        ("max_tokens", "many"),
        ("max_completion_tokens", 0),
        ("max_completion_tokens", -1),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_p", float("nan")),
        ("top_k", -2),
        ("top_k", 1.5),
        ("seed", 1 << 63),
        ("seed", "x"),
        ("n", 0),
        ("n", 129),
        ("ignore_eos", "perhaps"),
        ("stream", "perhaps"),
        ("stream", []),
        ("return_token_ids", 7),
        ("cache_salt", ""),
        ("cache_salt", 5),
        ("cache_salt", True),
        ("cache_salt", "x" * 129),
        ("cache_salt", "a@b"),
        ("cache_salt", "a/b"),
        ("cache_salt", "a\\b"),
        ("cache_salt", "a\0b"),
        ("model", 5),
        ("request_id", ""),
        ("request_id", "a\r\nSet-Cookie: b"),
        ("request_id", " a"),
        ("request_id", "é"),
        ("request_id", "i" * 513),
        ("request_id", 5),
        ("user", 5),
        ("priority", 1 << 63),
        ("priority", "high"),
        ("priority", 0.5),
        ("add_generation_prompt", "perhaps"),
        ("continue_final_message", 2),
        ("add_special_tokens", "x"),
        ("documents", "x"),
        ("documents", [{"text": 5}]),
        ("chat_template", 5),
        ("chat_template", ""),
        ("chat_template", "x" * 65537),
        ("chat_template_kwargs", []),
        ("chat_template_kwargs", {"tokenize": True}),
        ("chat_template_kwargs", {"add_generation_prompt": 5}),
        ("reasoning_effort", "huge"),
        ("reasoning_effort", 5),
        ("truncate_prompt_tokens", 0),
        ("truncate_prompt_tokens", -2),
        ("truncate_prompt_tokens", 1.5),
        ("mm_processor_kwargs", "x"),
        ("tools", "x"),
        ("tools", [{}]),
        ("tool_choice", "auto"),
        ("parallel_tool_calls", "x"),
        ("stream_options", "yes"),
        ("messages", []),
        ("messages", "hi"),
        ("messages", [{"content": "no role"}]),
        ("messages", ["hi"]),
        ("messages", [{"role": 5, "content": "hi"}]),
        ("messages", [{"role": "user", "content": None}]),
        ("messages", [{"role": "user", "content": 5}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
        ("messages", [{"role": "user", "content": [{"type": "strange"}]}]),
        ("messages", [{"role": "user", "content": [{"type": "text"}]}]),
        ("messages", [{"role": "user", "content": [5]}]),
        ("messages", [{"role": "assistant", "tool_calls": [{"id": "1"}]}]),
        ("messages", [{"role": "assistant", "tool_calls": {"id": "1"}}]),
        ("messages", [{"role": "assistant", "tool_calls": [{"function": {"name": ""}}]}]),
        (
            "messages",
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]}],
        ),
        (
            "messages",
            [{"role": "assistant", "tool_calls": [{"type": "x", "function": {"name": "f"}}]}],
        ),
        ("messages", [{"role": "assistant", "function_call": "f"}]),
        ("messages", [{"role": "tool", "tool_call_id": 5}]),
    ],
)
def test_a_wrong_value_is_refused_under_its_field(field: str, value: Any) -> None:
    assert refused_chat(**{field: value}).param == field


@pytest.mark.parametrize("name", sorted(DANGEROUS))
def test_a_field_that_would_change_the_text_is_refused_by_name(name: str) -> None:
    error = refused_chat(**{name: 1})
    assert error.param == name
    assert name in str(error)


@pytest.mark.parametrize("name", sorted(DANGEROUS))
def test_null_means_left_out(name: str) -> None:
    assert chat(**{name: None}).unknown_fields() == []


def test_a_plain_prompt_has_one_best_answer_of_one() -> None:
    assert completion(best_of=1).best_of == 1
    with pytest.raises(RequestError) as caught:
        completion(best_of=2)
    assert caught.value.param == "best_of"


def test_completions_refuse_what_only_chat_has_and_their_own_later_fields() -> None:
    for name in (
        "messages",
        "tools",
        "chat_template",
        "suffix",
        "prompt_embeds",
        "include_reasoning",
    ):
        with pytest.raises(RequestError) as caught:
            completion(**{name: 1})
        assert caught.value.param == name


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("max_tokens", "3", 3),
        ("max_tokens", 3.0, 3),
        ("temperature", "0.5", 0.5),
        ("stream", "yes", True),
        ("ignore_eos", "true", True),
        ("seed", -1, -1),
        ("top_k", -1, -1),
        ("n", None, None),
        ("cache_salt", "é" * 128, "é" * 128),
        ("cache_salt", None, None),
    ],
)
def test_values_are_read_loosely(field: str, value: Any, read: Any) -> None:
    assert getattr(chat(**{field: value}), field) == read


def test_the_newer_name_of_the_token_limit_wins() -> None:
    assert chat(max_tokens=5, max_completion_tokens=7).wanted_tokens == 7
    assert chat(max_tokens=5).wanted_tokens == 5
    assert chat().wanted_tokens is None


@pytest.mark.parametrize("options", [{"include_usage": False}, {"x": 1}])
def test_stream_options_need_a_stream(options: Any) -> None:
    assert refused_chat(stream_options=options).param == "stream_options"


def test_a_wrong_kind_of_value_is_told_without_the_names_of_our_classes() -> None:
    error = refused_chat(stream=True, stream_options="yes")
    assert str(error) == "stream_options: Input should be a valid dictionary"


def test_a_body_may_begin_with_the_mark_of_its_encoding() -> None:
    body = b'\xef\xbb\xbf{"messages": [{"role": "user", "content": "hi"}]}'
    assert parse(ChatCompletionRequest, body).messages[0].content == "hi"


def test_empty_stream_options_need_no_stream_and_ask_for_nothing() -> None:
    assert not chat(stream_options={}).includes_usage
    assert not chat(stream=True, stream_options={}).includes_usage


def test_continuous_usage_needs_usage() -> None:
    only = {"continuous_usage_stats": True}
    assert not chat(stream=True, stream_options=only).continuous_usage
    assert chat(stream=True, stream_options={**only, "include_usage": True}).continuous_usage


def test_foreign_fields_are_named_with_their_path() -> None:
    messages = [{"role": "user", "content": "a", "colour": 1}, {"role": "user", "colour": 2}]
    request = chat(
        messages=messages, store=True, stream=True, stream_options={"include_usage": 1, "x": 2}
    )
    assert request.unknown_fields() == ["store", "stream_options.x", "messages.colour"]
    with pytest.raises(RequestError) as caught:
        refuse_unknown(request.unknown_fields())
    assert caught.value.param == "store"


def test_all_ways_to_write_text_are_read() -> None:
    content = [
        "plain",
        {"type": "text", "text": "a"},
        {"type": "input_text", "text": "b"},
        {"type": "refusal", "refusal": "c"},
        {"text": "d"},
    ]
    message = chat(messages=[{"role": "user", "content": content}]).messages[0]
    assert message.content == ["plain", "a", "b", "c", "d"]


def test_content_may_be_missing_and_null_for_the_assistant() -> None:
    request = chat(messages=[{"role": "user"}, {"role": "assistant", "content": None}])
    assert [message.content for message in request.messages] == ["", ""]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"messages": [{"role": "user", "content": "\\ud83d"}]}',
        b'{"messages": ' + b"[" * 5000,
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        parse(ChatCompletionRequest, body)


def test_the_last_of_two_equal_keys_wins_and_nul_is_a_character() -> None:
    body = b'{"n": 2, "n": 3, "messages": [{"role": "user", "content": "a\\u0000b"}]}'
    request = parse(ChatCompletionRequest, body)
    assert request.n == 3
    assert request.messages[0].content == "a\0b"


@pytest.mark.parametrize(
    ("prompt", "texts", "token_ids"),
    [
        ("hi", ["hi"], []),
        ("", [""], []),
        (["a", "b"], ["a", "b"], []),
        (["1", "2"], ["1", "2"], []),
        ([1, 2], [], [[1, 2]]),
        ([[1], [2, 3]], [], [[1], [2, 3]]),
    ],
)
def test_a_prompt_comes_in_four_shapes(prompt: Any, texts: Any, token_ids: Any) -> None:
    request = completion(prompt=prompt)
    assert (request.texts, request.token_ids) == (texts, token_ids)


@pytest.mark.parametrize(
    "prompt",
    [
        [],
        [1, "a"],
        ["a", 1],
        [True],
        [[True]],
        [["1"]],
        [-1],
        [[-1]],
        [["a"]],
        {},
        5,
        [1.5],
        [[1], "a"],
        None,
    ],
)
def test_any_other_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(RequestError) as caught:
        completion(prompt=prompt)
    assert caught.value.param == "prompt"


def test_a_long_list_with_many_faults_is_refused_for_the_first_and_at_once() -> None:
    wrong = [{"role": 5}] * 100_000
    with pytest.raises(RequestError) as caught:
        chat(messages=wrong)
    assert (caught.value.param, str(caught.value)[:16]) == ("messages", "messages.0.role:")
    with pytest.raises(RequestError, match="negative"):
        completion(prompt=[0] * 1_000_000 + [-1])
