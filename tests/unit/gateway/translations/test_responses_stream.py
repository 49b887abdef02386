"""A chat in chunks and whole becomes the same response."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from baton.core.errors import InternalError
from gateway.schema.responses import ResponsesRequest
from gateway.translations.entries import entries_of
from gateway.translations.responses_answer import begun, whole_response
from gateway.translations.responses_stream import ResponseStream
from tests.support.fake_chat import FakeCall, FakeChat, fake_chats

OFFICIAL: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def asked(**fields: Any) -> ResponsesRequest:
    return ResponsesRequest.model_validate({"input": "hi", **fields})


def whole_of(chat: FakeChat, **fields: Any) -> dict[str, Any]:
    request = asked(**fields)
    return whole_response(begun(request, "resp_1", 1), request, chat.whole())


def events_of(chat: FakeChat, **fields: Any) -> list[dict[str, Any]]:
    request = asked(**fields)
    stream = ResponseStream(begun(request, "resp_1", 1), request.wants_encrypted)
    events = [event for chunk in chat.chunks() for event in stream.push(chunk)]
    return events + stream.end()


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


@given(fake_chats)
def test_the_last_event_has_the_whole_answer(chat: FakeChat) -> None:
    assert events_of(chat)[-1]["response"] == whole_of(chat)


@given(fake_chats)
def test_the_events_add_up_to_the_items_that_they_end_with(chat: FakeChat) -> None:
    events = events_of(chat)
    grown: defaultdict[int, str] = defaultdict(str)
    ended: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["type"].endswith(".delta"):
            grown[event["output_index"]] += event["delta"]
        if event["type"] == "response.output_item.done":
            ended[event["output_index"]] = event["item"]
    output = events[-1]["response"]["output"]
    assert [ended[index] for index in range(len(output))] == output
    for index, item in enumerate(output):
        text = item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"]
        assert grown[index] == text
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


@given(fake_chats)
def test_the_official_types_take_all_of_it(chat: FakeChat) -> None:
    Response.model_validate(whole_of(chat))
    for event in events_of(chat):
        assert OFFICIAL.validate_python(event).type == event["type"]


def test_events_come_in_the_documented_order() -> None:
    chat = FakeChat(["hm"], ["a", "b"], [FakeCall("f", ["{", "}"])], "tool_calls")
    assert kinds(events_of(chat)) == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "reasoning_text.delta"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        "completed",
    ]


def test_what_a_whole_answer_says() -> None:
    chat = FakeChat(["hm"], ["a"], [FakeCall("f", ["{}"])], "tool_calls", cached=16)
    response = whole_of(chat, include=["reasoning.encrypted_content"])
    reasoning, message, call = response["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert reasoning["encrypted_content"]
    assert message["content"][0]["text"] == "a"
    assert (call["call_id"], call["name"], call["arguments"]) == ("call-0", "f", "{}")
    assert response["status"] == "completed"
    assert response["usage"] == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 24,
    }


def test_an_empty_answer_is_an_empty_message() -> None:
    (message,) = whole_of(FakeChat())["output"]
    assert message["content"][0]["text"] == ""
    assert whole_of(FakeChat(finish="length"))["output"] == []


def test_only_what_was_cut_off_is_incomplete() -> None:
    chat = FakeChat([], ["a"], [FakeCall("f", ['{"a'])], "length")
    response = whole_of(chat)
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_chat_without_an_end_is_our_fault() -> None:
    with pytest.raises(InternalError):
        whole_of(FakeChat(content=["a"], finish="abort"))


@pytest.mark.parametrize(("status", "last"), [("failed", "failed"), ("cancelled", "incomplete")])
def test_a_stream_may_end_early(status: str, last: str) -> None:
    stream = ResponseStream(begun(asked(), "resp_1", 1))
    first = stream.push(FakeChat(content=["a", "b"]).chunks()[1])
    rest = stream.failed("broke") if status == "failed" else stream.cancelled()
    assert kinds(first)[:2] == ["created", "in_progress"]
    assert kinds(rest)[-1] == last
    response = rest[-1]["response"]
    assert response["status"] == status
    assert response["output"][0]["status"] == "incomplete"
    assert stream.response == response


def entry(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -1.0, "bytes": list(text.encode()), "top_logprobs": []}


def test_a_messages_log_probabilities_are_those_of_its_text() -> None:
    entries = [entry(t) for t in ("<t>", "ab", "</t>", "a", "b", "<call>", "ab", "<end>")]
    assert entries_of(entries, "ab", "ab") == entries[3:5]
    assert entries_of(entries[:5], "ab", "ab") == entries[3:5]
    assert entries_of(entries, "", "nowhere") == entries
    assert entries_of(entries, "", "") == []


def test_log_probabilities_travel_with_their_text() -> None:
    events = events_of(FakeChat(content=["a", "b"], logprobs=True), top_logprobs=1)
    told = [e["logprobs"][0]["token"] for e in events if e["type"].endswith("output_text.delta")]
    assert told == ["a", "b"]
    (message,) = events[-1]["response"]["output"]
    assert [e["token"] for e in message["content"][0]["logprobs"]] == ["a", "b"]


def test_text_behind_a_call_waits_for_the_end_and_cuts_no_call() -> None:
    chunks = FakeChat(["hm"], ["a"], [FakeCall("f", ["{", "}"])], "tool_calls").chunks()
    late = FakeChat(content=["late"]).chunks()[1]
    late["choices"][0]["finish_reason"] = None
    stream = ResponseStream(begun(asked(), "resp_1", 1))
    for chunk in (*chunks[:-2], late, *chunks[-2:]):
        stream.push(chunk)
    stream.end()
    _, first, call, last = stream.response["output"]
    assert [item["content"][0]["text"] for item in (first, last)] == ["a", "late"]
    assert (call["name"], call["arguments"]) == ("f", "{}")
