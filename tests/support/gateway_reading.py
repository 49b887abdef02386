"""A client's view of answers: the events of a stream, and what they add up to."""

import json
from dataclasses import dataclass, field
from typing import Any

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HI = [{"role": "user", "content": "hi"}]


def events(text: str) -> list[Any]:
    """Every event parsed; `[DONE]` must be the last and is left out."""
    blocks = text.split("\n\n")
    assert blocks.pop() == ""
    assert blocks.pop() == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


@dataclass
class Read:
    """One choice put together from its chunks."""

    content: str = ""
    roles: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reasons: list[str] = field(default_factory=list)


def read_chat(chunks: list[Any]) -> dict[int, Read]:
    choices: dict[int, Read] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            read = choices.setdefault(choice["index"], Read())
            read.content += choice["delta"].get("content", "")
            if "role" in choice["delta"]:
                read.roles.append(choice["delta"]["role"])
            read.token_ids += choice.get("token_ids") or []
            if choice["finish_reason"]:
                read.finish_reasons.append(choice["finish_reason"])
    return choices


def named_events(text: str) -> list[dict[str, Any]]:
    """Every event parsed; the name before each must be its type."""
    blocks = text.split("\n\n")
    assert blocks.pop() == ""
    parsed = []
    for block in blocks:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        parsed.append(event)
    return parsed
