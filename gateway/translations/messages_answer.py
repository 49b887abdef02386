"""A whole chat answer -> Anthropic's message: what its stream would add up to."""

from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json

from gateway.translations.chat_pieces import as_chunk
from gateway.translations.messages_stream import Event, MessageStream

_GROWS = {"text_delta": "text", "thinking_delta": "thinking"}


def whole_message(message_id: str, answer: dict[str, Any]) -> dict[str, Any]:
    stream = MessageStream(message_id)
    return folded([*stream.push(as_chunk(answer)), *stream.end()])


def folded(events: Iterable[Event]) -> dict[str, Any]:
    """As Anthropic's own client puts them together."""
    message: dict[str, Any] = {}
    blocks: list[dict[str, Any]] = []
    inputs: list[str] = []
    for event in events:
        match event["type"]:
            case "message_start":
                message = dict(event["message"])
            case "content_block_start":
                blocks.append(dict(event["content_block"]))
                inputs.append("")
            case "content_block_delta" if event["delta"]["type"] == "input_json_delta":
                inputs[event["index"]] += event["delta"]["partial_json"]
            case "content_block_delta":
                key = _GROWS[event["delta"]["type"]]
                blocks[event["index"]][key] += event["delta"][key]
            case "message_delta":
                message |= {**event["delta"], "usage": event["usage"]}
    for block, written in zip(blocks, inputs, strict=True):
        if block["type"] == "tool_use":
            block["input"] = _input(written)
    return {**message, "content": blocks}


def _input(arguments: str) -> dict[str, Any]:
    """Of a call that was cut off, what of it is certain."""
    try:
        value = from_json(arguments, allow_partial=True) if arguments else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
