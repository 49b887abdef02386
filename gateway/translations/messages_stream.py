"""Chat chunks -> Anthropic's events. A state machine; folded, its events are the message."""

from typing import Any

from gateway.translations.chat_pieces import CallPiece, Chunk, Piece, Tokens, tokens_of
from gateway.translations.turn import Turn

Event = dict[str, Any]


class MessageStream:
    """`push` each chunk, then `end`. Blocks follow each other."""

    def __init__(self, message_id: str) -> None:
        self._id = message_id
        self._began = False
        self._blocks = 0
        self._open: str | None = None  # type of the block that grows
        self._call = 0  # the number of the call that grows
        self._turn = Turn()
        self._stop: str | int | None = None
        self._tokens = Tokens()

    def push(self, chunk: Chunk) -> list[Event]:
        events: list[Event] = []
        self._tokens = tokens_of(chunk) or self._tokens
        if not self._began:
            self._began = True
            message = message_object(self._id, chunk["model"], usage_of(self._tokens))
            events += [{"type": "message_start", "message": message}, {"type": "ping"}]
        piece = self._turn.next(chunk)
        return events + (self._grow(piece) if piece is not None else [])

    def end(self) -> list[Event]:
        """After the last chunk. Raises InternalError for a chat that did not come to an end."""
        turn = self._turn
        turn.check_finished()
        events = self._say(turn.late) if turn.late or not self._blocks else []
        reason, sequence = stop_of(turn.finish, self._stop, turn.has_calls)
        return [
            *events,
            *self._close(),
            {
                "type": "message_delta",
                "delta": {"stop_reason": reason, "stop_sequence": sequence},
                "usage": usage_of(self._tokens),
            },
            {"type": "message_stop"},
        ]

    def _grow(self, piece: Piece) -> list[Event]:
        events: list[Event] = []
        if piece.reasoning:
            if self._open != "thinking":
                events += self._begin("thinking", thinking="", signature="")
            events.append(self._delta("thinking_delta", thinking=piece.reasoning))
        if piece.content:
            events += self._say(piece.content)
        for call in piece.calls:
            events += self._grow_call(call)
        self._stop = piece.stop_reason if piece.stop_reason is not None else self._stop
        return events

    def _say(self, text: str) -> list[Event]:
        events = self._begin("text", text="") if self._open != "text" else []
        return [*events, self._delta("text_delta", text=text)] if text else events

    def _grow_call(self, call: CallPiece) -> list[Event]:
        events: list[Event] = []
        if self._open != "tool_use" or self._call != call.index:
            events += self._begin("tool_use", id=call.call_id, name=call.name, input={})
            self._call = call.index
        if call.arguments:
            events.append(self._delta("input_json_delta", partial_json=call.arguments))
        return events

    def _begin(self, kind: str, **block: object) -> list[Event]:
        events = self._close()
        self._open = kind
        self._blocks += 1
        start = {"type": kind, **block}
        index = self._blocks - 1
        return [*events, {"type": "content_block_start", "index": index, "content_block": start}]

    def _delta(self, kind: str, **change: object) -> Event:
        delta = {"type": kind, **change}
        return {"type": "content_block_delta", "index": self._blocks - 1, "delta": delta}

    def _close(self) -> list[Event]:
        if self._open is None:
            return []
        self._open = None
        return [{"type": "content_block_stop", "index": self._blocks - 1}]


def message_object(message_id: str, model: str, usage: dict[str, Any]) -> dict[str, Any]:
    """Before anything has come of it."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def usage_of(tokens: Tokens) -> dict[str, int]:
    """Anthropic's input tokens are those that were not cached."""
    return {
        "input_tokens": tokens.prompt - tokens.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.completion,
    }


def stop_of(finish: str | None, stop: str | int | None, has_calls: bool) -> tuple[str, str | None]:
    """Reason and sequence."""
    if finish == "length":
        return "max_tokens", None
    if isinstance(stop, str):
        return "stop_sequence", stop
    if has_calls:
        return "tool_use", None
    return "end_turn", None
