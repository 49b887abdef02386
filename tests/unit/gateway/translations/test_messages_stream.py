"""A chat in chunks and whole becomes the same message of Anthropic's API."""

from typing import Any

import pytest
from hypothesis import given

from baton.core.errors import InternalError
from gateway.translations.messages_answer import folded, whole_message
from gateway.translations.messages_stream import MessageStream
from tests.support.fake_chat import FakeCall, FakeChat, fake_chats


def events_of(chat: FakeChat) -> list[dict[str, Any]]:
    stream = MessageStream("msg_1")
    return [event for chunk in chat.chunks() for event in stream.push(chunk)] + stream.end()


@given(fake_chats)
def test_the_events_add_up_to_the_whole_message(chat: FakeChat) -> None:
    assert folded(events_of(chat)) == whole_message("msg_1", chat.whole())


@given(fake_chats)
def test_blocks_follow_each_other(chat: FakeChat) -> None:
    events = events_of(chat)
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"]
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    is_open, number = False, -1
    for event in events[2:-2]:
        match event["type"]:
            case "content_block_start":
                assert not is_open
                is_open, number = True, number + 1
            case "content_block_stop":
                assert is_open
                is_open = False
            case kind:
                assert (kind, is_open) == ("content_block_delta", True)
        assert event["index"] == number
    assert not is_open


def test_what_a_whole_message_says() -> None:
    call = FakeCall("f", ['{"a": ', "1}"])
    message = whole_message("msg_1", FakeChat(["hm"], ["a"], [call], "stop", cached=16).whole())
    assert message["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "call-0", "name": "f", "input": {"a": 1}},
    ]
    assert message["usage"] == {
        "input_tokens": 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 16,
        "output_tokens": 4,
    }


@pytest.mark.parametrize(
    ("chat", "reason", "sequence"),
    [
        (FakeChat(content=["a"]), "end_turn", None),
        (FakeChat(content=["a"], stop_reason=7), "end_turn", None),
        (FakeChat(content=["a"], stop_reason="END"), "stop_sequence", "END"),
        (FakeChat(content=["a"], finish="length"), "max_tokens", None),
        (FakeChat(calls=[FakeCall("f", ["{}"])], finish="tool_calls"), "tool_use", None),
        (FakeChat(calls=[FakeCall("f", ["{}"])]), "tool_use", None),  # a tool named by the request
        (FakeChat(calls=[FakeCall("f", ["{"])], finish="length"), "max_tokens", None),
    ],
)
def test_why_it_stopped(chat: FakeChat, reason: str, sequence: str | None) -> None:
    message = whole_message("msg_1", chat.whole())
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, sequence)


def test_an_empty_answer_has_an_empty_text() -> None:
    assert whole_message("m", FakeChat().whole())["content"] == [{"type": "text", "text": ""}]


def test_of_a_call_that_was_cut_off_the_certain_part_stays() -> None:
    call = FakeCall("f", ['{"a": 1, "b": "hal'])
    (block,) = whole_message("m", FakeChat(calls=[call], finish="length").whole())["content"]
    assert block["input"] == {"a": 1}


def test_a_chat_without_an_end_is_our_fault() -> None:
    with pytest.raises(InternalError):
        whole_message("m", FakeChat(finish="abort").whole())


def test_text_behind_a_call_waits_for_the_end_and_cuts_no_call() -> None:
    chunks = FakeChat([], ["a"], [FakeCall("f", ["{", "}"])], "tool_calls").chunks()
    late = FakeChat(content=["late"]).chunks()[1]
    late["choices"][0]["finish_reason"] = None
    stream = MessageStream("msg_1")
    events = [e for c in (*chunks[:-2], late, *chunks[-2:]) for e in stream.push(c)]
    first, call, last = folded(events + stream.end())["content"]
    assert (first["text"], last["text"]) == ("a", "late")
    assert (call["name"], call["input"]) == ("f", {})
