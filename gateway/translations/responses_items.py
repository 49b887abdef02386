"""Output items of a response while they grow: what is told at their begin, growth and end."""

from typing import Any, Protocol

from gateway.translations.chat_pieces import CallPiece
from gateway.translations.responses_request import sealed

Event = dict[str, Any]  # without its sequence number
Logprobs = list[dict[str, Any]]


class OpenItem(Protocol):
    """`begin`, then pushes of its own kind, then `end`."""

    item: dict[str, Any]  # as far as it has come

    def begin(self) -> list[Event]: ...

    def end(self, status: str) -> list[Event]:
        """`status`: completed or incomplete."""
        ...


class OpenText:
    """What message and reasoning have in common: one part of text."""

    part: dict[str, Any]
    item: dict[str, Any]
    events: str  # the type of its delta and done events begins so

    def __init__(self, index: int) -> None:
        self._at = {"output_index": index, "item_id": self.item["id"]}

    def begin(self) -> list[Event]:
        added = {
            "type": "response.output_item.added",
            "output_index": self._at["output_index"],
            "item": {**self.item, "content": []},
        }
        self.item["content"] = [self.part]
        part = {
            "type": "response.content_part.added",
            **self._at,
            "content_index": 0,
            "part": dict(self.part),
        }
        return [added, part]

    def push(self, text: str, **also: object) -> list[Event]:
        self.part["text"] += text
        type_ = f"{self.events}.delta"
        return [{"type": type_, **self._at, "content_index": 0, "delta": text, **also}]

    def _end(self, status: str, **also: object) -> list[Event]:
        self.item["status"] = status
        place = {**self._at, "content_index": 0}
        return [
            {"type": f"{self.events}.done", **place, "text": self.part["text"], **also},
            {"type": "response.content_part.done", **place, "part": dict(self.part)},
            {
                "type": "response.output_item.done",
                "output_index": self._at["output_index"],
                "item": dict(self.item),
            },
        ]


class OpenReasoning(OpenText):
    events = "response.reasoning_text"

    def __init__(self, item_id: str, index: int, encrypted: bool) -> None:
        self.part = {"type": "reasoning_text", "text": ""}
        self.item = {
            "id": item_id,
            "type": "reasoning",
            "status": "in_progress",
            "summary": [],
            "content": [],
        }
        self._encrypted = encrypted
        super().__init__(index)

    def end(self, status: str) -> list[Event]:
        if self._encrypted:
            self.item["encrypted_content"] = sealed(self.part["text"])
        return self._end(status)


class OpenMessage(OpenText):
    events = "response.output_text"

    def __init__(self, item_id: str, index: int) -> None:
        self.part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self.item = {
            "id": item_id,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        super().__init__(index)

    def set_logprobs(self, logprobs: Logprobs) -> None:
        """Of all of its text; before `end`."""
        self.part["logprobs"] = logprobs

    def end(self, status: str) -> list[Event]:
        return self._end(status, logprobs=self.part["logprobs"])


class OpenCall:
    def __init__(self, item_id: str, index: int, piece: CallPiece) -> None:
        self.number = piece.index
        self._at = {"output_index": index, "item_id": item_id}
        self.item: dict[str, Any] = {
            "id": item_id,
            "type": "function_call",
            "status": "in_progress",
            "call_id": piece.call_id,
            "name": piece.name,
            "arguments": "",
        }

    def begin(self) -> list[Event]:
        index = self._at["output_index"]
        item = dict(self.item)
        return [{"type": "response.output_item.added", "output_index": index, "item": item}]

    def push(self, arguments: str) -> list[Event]:
        self.item["arguments"] += arguments
        type_ = "response.function_call_arguments.delta"
        return [{"type": type_, **self._at, "delta": arguments}]

    def end(self, status: str) -> list[Event]:
        self.item["status"] = status
        done = {
            "type": "response.function_call_arguments.done",
            **self._at,
            "name": self.item["name"],
            "arguments": self.item["arguments"],
        }
        index = self._at["output_index"]
        return [
            done,
            {"type": "response.output_item.done", "output_index": index, "item": dict(self.item)},
        ]
