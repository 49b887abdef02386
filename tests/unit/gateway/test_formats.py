"""Answers as JSON: which keys, in which chunks, in which order."""

import json
from dataclasses import replace
from typing import Any

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenLogprobs, TokenRecord
from gateway.answers.answer import AnswerHead, AnswerOptions, PromptAnswer
from gateway.answers.chat_format import ChatStream, chat_object
from gateway.answers.completion_format import CompletionStream, completion_object
from gateway.answers.logprobs import TokenNames
from gateway.job import Job
from gateway.output import (
    ChoiceText,
    Delta,
    OutputPlan,
    ToolCall,
    ToolCallDelta,
)
from gateway.parsers.reasoning_formats import reasoning_format
from gateway.parsers.tool_formats import tool_format
from gateway.tool_use import ToolMode, ToolUse
from tests.support.gateway_output import BYTES

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


NAMED = AnswerOptions(names=TokenNames(BYTES))
THINKING = OutputPlan(reasoning=reasoning_format("qwen3", BYTES, None))
CALLING = OutputPlan(tools=tool_format("hermes", None), tool_use=ToolUse(ToolMode.AUTO))


def job_with(plan: OutputPlan = JOB.plan, **params: Any) -> Job:
    return replace(JOB, plan=plan, params=replace(JOB.params, **params))


def deltas_of(chunks: list[Any]) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in chunks]


def record(token: int) -> TokenRecord:
    return TokenRecord(0, 3, token, None, TokenLogprobs(-1.0, 1, ((98, -0.5),)))


def test_reasoning_goes_by_both_names_and_tags_by_none() -> None:
    stream = ChatStream(HEAD, job_with(THINKING), AnswerOptions())
    chunks = events(stream.push(0, [Delta(0, "b", (5, 6), reasoning="a")]))
    assert deltas_of(chunks) == [
        {"role": "assistant", "content": ""},
        {"reasoning": "a", "reasoning_content": "a"},
        {"content": "b"},
    ]
    choice = ChoiceText("", [5], "length", reasoning="a", reasoning_tokens=1)
    body: Any = chat_object(HEAD, PromptAnswer(JOB, [choice], 0), AnswerOptions())
    message = body["choices"][0]["message"]
    assert (message["reasoning"], message["reasoning_content"]) == ("a", "a")
    assert message["content"] is None
    assert body["usage"]["completion_tokens_details"] == {"reasoning_tokens": 1}


def test_reasoning_tokens_are_in_the_usage_where_they_are_told_apart() -> None:
    stream = ChatStream(HEAD, job_with(THINKING), AnswerOptions(usage=True))
    stream.push(0, [Delta(0, "", (5, 6), "stop", reasoning_tokens=2)])
    stream.push(0, [Delta(1, "", (5, 6), "stop", hidden=3, reasoning_tokens=3)])
    (end,) = events(stream.end())
    assert end["usage"]["completion_tokens"] == 7
    assert end["usage"]["completion_tokens_details"] == {"reasoning_tokens": 5}


def test_a_tool_call_is_told_piece_by_piece() -> None:
    stream = ChatStream(HEAD, job_with(CALLING), AnswerOptions(token_ids=True))
    parts = (ToolCallDelta(0, id="c1", name="f"), ToolCallDelta(0, "{}"))
    chunks = events(stream.push(0, [Delta(0, "x", (5,), tool_calls=parts)]))
    assert deltas_of(chunks) == [
        {"role": "assistant", "content": ""},
        {"content": "x"},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                         "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ]  # fmt: skip
    assert [chunk["choices"][0].get("token_ids") for chunk in chunks] == [None, None, None, [5]]
    (last,) = events(stream.push(0, [Delta(0, "", (6,), "tool_calls")]))
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "tool_calls")


def test_a_whole_tool_call_stands_in_the_message() -> None:
    choice = ChoiceText("", [5], "tool_calls", tool_calls=[ToolCall("c1", "f", "{}")])
    body: Any = chat_object(HEAD, PromptAnswer(job_with(CALLING), [choice], 0), AnswerOptions())
    message = body["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    forced = replace(CALLING, tool_use=ToolUse(ToolMode.NAMED))
    body = chat_object(HEAD, PromptAnswer(job_with(forced), [choice], 0), AnswerOptions())
    assert body["choices"][0]["message"]["content"] == ""


def test_text_that_a_parser_keeps_back_makes_no_chunk_unless_its_tokens_are_shown() -> None:
    held = Delta(0, "", (5,), records=(record(97),))
    quiet = ChatStream(HEAD, job_with(CALLING), AnswerOptions())
    assert len(events(quiet.push(0, [held]))) == 1  # the role
    assert quiet.push(0, [held]) == b""
    for stream in (
        ChatStream(HEAD, job_with(CALLING), AnswerOptions(token_ids=True)),
        ChatStream(HEAD, job_with(CALLING, logprobs=0), NAMED),
    ):
        _, chunk = events(stream.push(0, [held]))
        assert chunk["choices"][0]["delta"] == {}
    assert chunk["choices"][0]["logprobs"]["content"][0]["token"] == "a"


def test_why_it_stopped_is_told_in_the_last_chunk_alone() -> None:
    stream = ChatStream(HEAD, JOB, AnswerOptions())
    first = events(stream.push(0, [Delta(0, "a", (5,)), Delta(1, "a", (5,), "stop", 7)]))
    assert ["stop_reason" in chunk["choices"][0] for chunk in first] == [False, False, False, True]
    assert first[-1]["choices"][0]["stop_reason"] == 7
    (last,) = events(stream.push(0, [Delta(0, "", (5,), "stop", 'é"')]))
    assert last["choices"][0]["stop_reason"] == 'é"'
    body: Any = chat_object(
        HEAD, PromptAnswer(JOB, [ChoiceText("", [5], "stop", "END")], 0), AnswerOptions()
    )
    assert body["choices"][0]["stop_reason"] == "END"


def test_an_echo_follows_the_role_and_begins_the_message() -> None:
    job = job_with().echoing("before ")
    stream = ChatStream(HEAD, job, replace(NAMED, role="user"))
    chunks = events(stream.push(0, [Delta(0, "a", (5,)), Delta(0, "b", (5,))]))
    assert deltas_of(chunks) == [
        {"role": "user", "content": ""},
        {"content": "before "},
        {"content": "a"},
        {"content": "b"},
    ]
    body: Any = chat_object(HEAD, PromptAnswer(job, ANSWER.choices, 0), replace(NAMED, role="user"))
    assert [choice["message"]["content"] for choice in body["choices"]] == ["before a", "before "]
    assert body["choices"][0]["message"]["role"] == "user"


def test_log_probabilities_are_told_for_exactly_the_tokens_of_a_chunk() -> None:
    job = job_with(logprobs=1)
    stream = ChatStream(HEAD, job, NAMED)
    role, chunk = events(
        stream.push(0, [Delta(0, "ab", (97, 98), records=(record(97), record(98)))])
    )
    assert role["choices"][0]["logprobs"] is None
    entries = chunk["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == ["a", "b"]
    assert entries[0]["top_logprobs"] == [{"token": "b", "logprob": -0.5, "bytes": [98]}]
    choice = ChoiceText("ab", [97, 98], "length", records=[record(97), record(98)])
    body: Any = chat_object(HEAD, PromptAnswer(job, [choice], 0), NAMED)
    assert body["choices"][0]["logprobs"] == {"content": entries}


def test_a_prompts_log_probabilities_stand_beside_a_chats_choices_and_in_a_completions() -> None:
    scores = (TokenLogprobs(-1.0, 1), TokenLogprobs(-2.0, 3))
    answer = PromptAnswer(job_with(prompt_logprobs=0), ANSWER.choices, 0, scores)
    told = [
        None,
        {"2": {"logprob": -1.0, "rank": 1, "decoded_token": "\x02"}},
        {"3": {"logprob": -2.0, "rank": 3, "decoded_token": "\x03"}},
    ]
    body: Any = chat_object(HEAD, answer, NAMED)
    assert body["prompt_logprobs"] == told
    body = completion_object(HEAD, [answer], NAMED)
    assert body["choices"][1]["prompt_logprobs"] == told


def test_an_echoed_completion_begins_with_its_prompt_and_the_prompts_scores() -> None:
    job = replace(JOB, prompt=(97, 98), params=replace(JOB.params, logprobs=0, prompt_logprobs=0))
    job = job.echoing("ab")
    scores = (TokenLogprobs(-2.0, 3),)
    choice = ChoiceText("c", [99], "length", records=[record(99)])
    body: Any = completion_object(HEAD, [PromptAnswer(job, [choice], 0, scores)], NAMED)
    whole = body["choices"][0]
    assert whole["text"] == "abc"
    assert whole["logprobs"] == {
        "text_offset": [0, 1, 2],
        "token_logprobs": [None, -2.0, -1.0],
        "tokens": ["a", "b", "c"],
        "top_logprobs": [None, {"b": -2.0}, {"c": -1.0}],
    }
    stream = CompletionStream(HEAD, [job], NAMED)
    stream.scored(0, scores)
    (first,) = events(stream.push(0, [Delta(0, "c", (99,), records=(record(99),))]))
    (then,) = events(stream.push(0, [Delta(0, "d", (100,), "length", records=(record(100),))]))
    assert first["choices"][0]["text"] == "abc"
    assert first["choices"][0]["logprobs"] == whole["logprobs"]
    assert then["choices"][0]["logprobs"]["text_offset"] == [3]
    assert then["choices"][0]["text"] == "d"


def test_a_completion_stream_says_why_it_stopped() -> None:
    stream = CompletionStream(HEAD, [JOB], AnswerOptions())
    (chunk,) = events(stream.push(0, [Delta(0, "a", (5,), "stop", "END")]))
    assert (chunk["choices"][0]["finish_reason"], chunk["choices"][0]["stop_reason"]) == (
        "stop",
        "END",
    )


def test_a_chunk_that_is_put_together_from_known_parts_is_as_any_other() -> None:
    """The first chunk of a choice is encoded in full, later ones are not."""
    job = replace(JOB, params=replace(JOB.params, n=1))
    for stream in (
        CompletionStream(HEAD, [job], AnswerOptions()),
        ChatStream(HEAD, job, AnswerOptions()),
    ):
        first, later = (stream.push(0, [Delta(0, 'a"\u2028é', (5,))]) for _ in range(2))
        assert first.endswith(later)
        assert len(events(later)) == 1
