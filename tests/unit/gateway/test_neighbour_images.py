"""Images in the APIs beside chat, as a chat has them."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.schema.message_blocks import AnthropicMessage
from gateway.schema.messages import CountTokensRequest
from gateway.schema.response_items import Item
from gateway.translations.messages_request import chat_messages
from gateway.translations.responses_request import messages_of

URL = "data:image/png;base64,AAAA"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
SOURCE = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
BLOCK = {"type": "image", "source": SOURCE}


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def of_items(*items: Any) -> list[dict[str, Any]]:
    return messages_of(TypeAdapter(list[Item]).validate_python(list(items)))


def of_blocks(*blocks: Any) -> list[dict[str, Any]]:
    asked = {"model": "m", "messages": [{"role": "user", "content": list(blocks)}]}
    return chat_messages(CountTokensRequest.model_validate(asked))


def test_an_input_image_stands_where_it_stood() -> None:
    image = {"type": "input_image", "image_url": URL, "detail": "high"}
    said = {"type": "input_text", "text": "a"}
    assert of_items({"role": "user", "content": [image, said]}) == [
        {"role": "user", "content": [IMAGE, text("a")]}
    ]
    output = {"type": "function_call_output", "call_id": "c", "output": [image]}
    assert of_items(output)[0]["content"] == [IMAGE]
    assert of_items({"role": "user", "content": [said]})[0]["content"] == "a"


def test_blocks_of_images_stand_where_they_stood_also_in_a_tools_result() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text("seen"), BLOCK]}
    by_url = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    assert of_blocks(text("a"), BLOCK, result, by_url) == [
        {"role": "user", "content": [text("a"), IMAGE]},
        {"role": "tool", "tool_call_id": "t", "content": [text("seen"), IMAGE]},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
        },
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image"},
        {"type": "input_image", "image_url": {"url": URL}},
        {"type": "input_image", "file_id": "f"},
        {"type": "input_file"},
    ],
    ids=str,
)
def test_what_is_no_input_image_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        of_items({"role": "user", "content": [part]})


@pytest.mark.parametrize(
    "source",
    [None, {}, {"type": "file"}, {"type": "url"}, {"type": "base64", "data": "AA"}],
    ids=str,
)
def test_a_source_that_cannot_be_read_is_refused(source: Any) -> None:
    block = {"type": "image", "source": source}
    for content in ([block], [{"type": "tool_result", "tool_use_id": "t", "content": [block]}]):
        with pytest.raises(ValidationError):
            TypeAdapter(AnthropicMessage).validate_python({"role": "user", "content": content})
    with pytest.raises(ValidationError):
        TypeAdapter(AnthropicMessage).validate_python({"role": "assistant", "content": [BLOCK]})
