"""Messages of every role, as the template reads them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompts.content_format import ContentFormat
from gateway.prompts.rendering import template_entry
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.message import CalledFunction, Message

STRING, PARTS = ContentFormat.STRING, ContentFormat.PARTS


def entry(format: ContentFormat = STRING, **message: Any) -> dict[str, object]:
    return template_entry(Message.model_validate(message), format)


def call(arguments: Any, **more: Any) -> dict[str, Any]:
    return {"function": {"name": "f", "arguments": arguments}, **more}


@pytest.mark.parametrize(
    "role", ["system", "developer", "user", "assistant", "tool", "function", "ipython", "Ünsinn"]
)
def test_any_role_goes_to_the_template_as_it_is(role: str) -> None:
    assert entry(role=role, content="a") == {"role": role, "content": "a"}


def test_an_answer_of_a_tool_keeps_its_name_and_its_call() -> None:
    message: dict[str, Any] = {
        "role": "tool",
        "content": "22",
        "name": "f",
        "tool_call_id": "call-1",
    }
    assert entry(**message) == message


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"a": [1, "é"]}', {"a": [1, "é"]}),
        ({"a": 1}, {"a": 1}),
        ("", {}),
        (" ", {}),
        (None, {}),
        ("{broken", "{broken"),
        ("[1]", "[1]"),
        ("5", "5"),
        ("[" * 10_000, "[" * 10_000),
    ],
)
def test_arguments_are_objects_where_they_can_be_read_as_such(arguments: Any, read: Any) -> None:
    calls = entry(role="assistant", tool_calls=[call(arguments, id="1")])["tool_calls"]
    assert calls == [{"id": "1", "type": "function", "function": {"name": "f", "arguments": read}}]


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_arguments_come_back_as_they_were_written(arguments: dict[str, Any]) -> None:
    assert CalledFunction(name="f", arguments=json.dumps(arguments)).arguments == arguments


@given(st.text())
def test_no_text_of_arguments_is_refused(arguments: str) -> None:
    CalledFunction(name="f", arguments=arguments)


def test_the_older_form_of_a_call_is_a_call() -> None:
    old = entry(role="assistant", content=None, function_call={"name": "f", "arguments": "{}"})
    new = entry(role="assistant", content=None, tool_calls=[call("{}")])
    assert old == new
    assert "tool_calls" not in entry(role="assistant", content="a", tool_calls=[])


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_goes_by_both_names(name: str) -> None:
    said: dict[str, Any] = {name: "hm"}
    read = entry(role="assistant", content="a", **said)
    assert (read["reasoning"], read["reasoning_content"]) == ("hm", "hm")


@pytest.mark.parametrize(
    "part",
    [
        "a",
        {"type": "text", "text": "a"},
        {"type": "input_text", "text": "a"},
        {"type": "output_text", "text": "a"},
        {"type": "refusal", "refusal": "a"},
        {"type": "thinking", "thinking": "a"},
        {"text": "a"},
        {"uuid": "u", "text": "a"},
    ],
)
def test_a_text_may_be_written_in_many_ways(part: Any) -> None:
    assert entry(role="user", content=[part, "b"])["content"] == "a\nb"
    texts = [{"type": "text", "text": text} for text in "ab"]
    assert entry(PARTS, role="user", content=[part, "b"])["content"] == texts


@pytest.mark.parametrize(
    "part",
    [
        *({"type": f"{kind}_embeds", f"{kind}_embeds": "x"} for kind in ("image", "audio")),
        {"type": "image_pil", "image_pil": "x"},
        {"type": "audio_url", "audio_url": {"url": "data:,"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "data:,"}, "uuid": "u"},
    ],
)
def test_other_media_are_not_read(part: Any) -> None:
    with pytest.raises(ValueError, match="beside text there are only images, as image_url"):
        entry(role="user", content=[part])


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
        {"type": "image_url", "image_url": "data:x"},
        {"type": "input_image", "image_url": "data:x"},
        {"image_url": {"url": "data:x"}},
    ],
)
def test_an_image_is_a_part_in_each_of_its_spellings(part: Any) -> None:
    content = ["see", part, {"type": "text", "text": "this"}]
    message = Message.model_validate({"role": "user", "content": content})

    assert [image.url for image in message.images] == ["data:x"]
    assert template_entry(message, PARTS)["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image"},
        {"type": "text", "text": "this"},
    ]
    assert template_entry(message, STRING, "<img>")["content"] == "see\n<img>\nthis"


@pytest.mark.parametrize("url", [None, "", 5, {"detail": "low"}, {"url": None}])
def test_an_image_without_a_url_is_refused(url: Any) -> None:
    with pytest.raises(ValueError, match="needs the string 'url'"):
        entry(role="user", content=[{"type": "image_url", "image_url": url, "uuid": "u"}])


def test_what_is_said_of_an_image_beside_its_url_is_named_as_ignored() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}
    asked = ChatCompletionRequest.model_validate(
        {"messages": [{"role": "user", "content": [part]}]}
    )
    assert asked.unknown_fields() == ["messages.content.image_url.detail"]


def test_a_log_does_not_have_the_whole_image() -> None:
    part = {"type": "image_url", "image_url": "data:image/png;base64," + "A" * 100_000}
    message = Message.model_validate({"role": "user", "content": [part]})

    assert len(str(message.model_dump())) < 1000


@pytest.mark.parametrize("part", [{"type": "file"}, {}, 5, None, {"type": 5}, {"type": "text"}])
def test_any_other_part_is_refused(part: Any) -> None:
    with pytest.raises(ValueError, match="part"):
        entry(role="user", content=[part])


def test_keys_that_say_nothing_are_named() -> None:
    parts = [{"type": "text", "text": "a", "uuid": "u", "cache_control": {"type": "ephemeral"}}]
    message = {"role": "user", "content": parts, "colour": "red", "refusal": None}
    asked = ChatCompletionRequest.model_validate({"messages": [message]})
    assert asked.unknown_fields() == [
        *("messages.colour", "messages.content.cache_control", "messages.content.uuid")
    ]
