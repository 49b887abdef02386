"""Answers as JSON: which keys, in which chunks, in which order."""

import json
from typing import Any

from baton.core.sampling_params import SamplingParams
from gateway.answer import AnswerHead, AnswerOptions, PromptAnswer
from gateway.chat_format import ChatStream, chat_object
from gateway.completion_format import CompletionStream, completion_object
from gateway.job import Job
from gateway.output import ChoiceText, Delta

HEAD = AnswerHead("chatcmpl-1", 1700000000, 'm"x', "baton-1")
JOB = Job("r", (1, 2, 3), SamplingParams(max_tokens=9, seed=0, n=2))
ANSWER = PromptAnswer(JOB, [ChoiceText("a", [5], "length"), ChoiceText("", [6, 7], "stop")], 2)


def events(raw: bytes) -> list[Any]:
    lines = raw.decode().split("\n\n")
    assert lines.pop() == ""
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_whole_chat_answer_has_exactly_the_contracts_keys() -> None:
    body = chat_object(HEAD, ANSWER, AnswerOptions())
    assert list(body) == [
        "id", "object", "created", "model", "choices", "service_tier", "system_fingerprint",
        "usage", "prompt_logprobs", "prompt_token_ids", "kv_transfer_params",
    ]  # fmt: skip
    choices: Any = body["choices"]
    assert list(choices[0]) == [
        "index", "message", "logprobs", "finish_reason", "stop_reason", "token_ids",
    ]  # fmt: skip
    assert set(choices[0]["message"]) == {
        "role", "content", "refusal", "annotations", "audio", "function_call", "tool_calls",
        "reasoning", "reasoning_content",
    }  # fmt: skip
    assert body["usage"] == {
        "prompt_tokens": 3, "total_tokens": 6, "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 2},
    }  # fmt: skip
    assert body["prompt_token_ids"] is None
    assert choices[0]["token_ids"] is None


def test_token_ids_are_there_when_asked_for() -> None:
    body: Any = chat_object(HEAD, ANSWER, AnswerOptions(token_ids=True))
    assert body["prompt_token_ids"] == [1, 2, 3]
    assert [choice["token_ids"] for choice in body["choices"]] == [[5], [6, 7]]


def test_a_chat_stream_says_the_role_then_content_then_the_end() -> None:
    stream = ChatStream(HEAD, JOB, AnswerOptions())
    first = events(stream.push(0, [Delta(0, 'a"\u2028é', (5,))]))
    last = events(stream.push(0, [Delta(0, "b", (6,), "length")]))
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000}
    assert first == [
        {
            **head,
            "model": 'm"x',
            "choices": [
                {
                    "index": 0,
                    "delta": {"role": "assistant", "content": ""},
                    "logprobs": None,
                    "finish_reason": None,
                }
            ],
            "prompt_token_ids": None,
        },
        {
            **head,
            "model": 'm"x',
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": 'a"\u2028é'},
                    "logprobs": None,
                    "finish_reason": None,
                    "token_ids": None,
                }
            ],
        },
    ]
    (end,) = last
    assert end["choices"][0]["delta"] == {"content": "b"}
    assert end["choices"][0]["finish_reason"] == "length"
    assert end["choices"][0]["stop_reason"] is None
    assert end["system_fingerprint"] == "baton-1"
    assert stream.end() == b""


def test_each_choice_has_its_own_role_chunk() -> None:
    stream = ChatStream(HEAD, JOB, AnswerOptions())
    chunks = events(stream.push(0, [Delta(0, "a", (5,)), Delta(1, "b", (6,))]))
    seen = [(c["choices"][0]["index"], "role" in c["choices"][0]["delta"]) for c in chunks]
    assert seen == [(0, True), (0, False), (1, True), (1, False)]


def test_the_usage_chunk_has_no_choices_and_no_nulls() -> None:
    stream = ChatStream(HEAD, JOB, AnswerOptions(usage=True))
    chunks = events(stream.push(0, [Delta(0, "a", (5,), "stop"), Delta(1, "b", (6, 7), "stop")]))
    assert all("usage" not in chunk for chunk in chunks)
    (end,) = events(stream.end())
    assert end["choices"] == []
    assert end["usage"] == {"prompt_tokens": 3, "total_tokens": 6, "completion_tokens": 3}


def test_cached_tokens_are_told_at_the_end_and_added_up_over_prompts() -> None:
    options = AnswerOptions(usage=True, continuous_usage=True)
    chat = ChatStream(HEAD, JOB, options)
    chat.push(0, [Delta(0, "a", (5,), "stop"), Delta(1, "b", (6,), "stop")])
    chat.cached(0, 2)
    (end,) = events(chat.end())
    assert end["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    both = CompletionStream(HEAD, [JOB, JOB], options)
    (chunk,) = events(both.push(0, [Delta(0, "a", (5,), "stop")]))
    assert "prompt_tokens_details" not in chunk["usage"]
    both.cached(0, 2)
    both.cached(1, 0)
    (end,) = events(both.end())
    assert end["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    whole: Any = completion_object(HEAD, [ANSWER, ANSWER], options)
    assert whole["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}


def test_a_number_that_was_lost_is_not_made_up() -> None:
    stream = CompletionStream(HEAD, [JOB, JOB], AnswerOptions(usage=True))
    stream.cached(0, 2)
    stream.cached(1, None)
    (end,) = events(stream.end())
    assert "prompt_tokens_details" not in end["usage"]
    unknown = PromptAnswer(JOB, ANSWER.choices, None)
    whole: Any = completion_object(HEAD, [ANSWER, unknown], AnswerOptions())
    assert whole["usage"]["prompt_tokens_details"] is None


def test_without_the_option_cached_tokens_are_not_told() -> None:
    options = AnswerOptions(usage=True, prompt_tokens_details=False)
    whole: Any = chat_object(HEAD, ANSWER, options)
    assert whole["usage"]["prompt_tokens_details"] is None
    stream = ChatStream(HEAD, JOB, options)
    stream.cached(0, 2)
    (end,) = events(stream.end())
    assert "prompt_tokens_details" not in end["usage"]


def test_continuous_usage_counts_the_choice_and_in_the_end_all() -> None:
    stream = ChatStream(HEAD, JOB, AnswerOptions(usage=True, continuous_usage=True))
    chunks = events(stream.push(0, [Delta(0, "a", (5,)), Delta(1, "b", (6, 7))]))
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [0, 1, 0, 2]
    (end,) = events(stream.end())
    assert end["usage"]["completion_tokens"] == 3


def test_token_ids_in_a_chat_stream() -> None:
    stream = ChatStream(HEAD, JOB, AnswerOptions(token_ids=True))
    role, content = events(stream.push(0, [Delta(0, "", (5, 6))]))
    assert role["prompt_token_ids"] == [1, 2, 3]
    assert "token_ids" not in role["choices"][0]
    assert content["choices"][0]["token_ids"] == [5, 6]
    assert content["choices"][0]["delta"] == {"content": ""}


def test_completions_number_choices_across_prompts() -> None:
    body: Any = completion_object(HEAD, [ANSWER, ANSWER], AnswerOptions(token_ids=True))
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert body["usage"]["prompt_tokens"] == 6
    assert body["usage"]["completion_tokens"] == 6
    assert body["choices"][3]["prompt_token_ids"] == [1, 2, 3]
    assert body["object"] == "text_completion"


def test_a_completion_stream_has_text_usage_and_ids() -> None:
    options = AnswerOptions(usage=True, token_ids=True)
    stream = CompletionStream(HEAD, [JOB, JOB], options)
    (first,) = events(stream.push(1, [Delta(1, "a", (5,))]))
    (second,) = events(stream.push(1, [Delta(1, "b", (6,), "stop")]))
    assert first["choices"] == [
        {
            "index": 3,
            "text": "a",
            "logprobs": None,
            "finish_reason": None,
            "stop_reason": None,
            "prompt_token_ids": [1, 2, 3],
            "token_ids": [5],
        }
    ]
    assert first["usage"] is None
    assert second["choices"][0]["prompt_token_ids"] is None
    assert second["choices"][0]["finish_reason"] == "stop"
    (end,) = events(stream.end())
    assert end["usage"] == {"prompt_tokens": 6, "total_tokens": 8, "completion_tokens": 2}
