"""Chat chunks -> the events of a response. A state machine; folded, its events are the response."""

from collections.abc import Iterable
from typing import Any

from gateway.translations.chat_pieces import CallPiece, Chunk, Piece, Tokens, tokens_of
from gateway.translations.entries import entries_of
from gateway.translations.responses_items import (
    Event,
    OpenCall,
    OpenItem,
    OpenMessage,
    OpenReasoning,
)
from gateway.translations.turn import Turn


class ResponseStream:
    """`push` each chunk, then one of `end`, `failed` and `cancelled`. One item is open at a time.

    `begun`: the response in progress, see `responses_answer.begun`.
    """

    def __init__(self, begun: dict[str, Any], encrypted: bool = False) -> None:
        self._head = begun
        self._suffix = str(begun["id"]).partition("_")[2]
        self._encrypted = encrypted
        self._sequence = 0
        self._done: list[dict[str, Any]] = []
        self._open: OpenItem | None = None
        self._reasoning = ""
        self._entries: list[dict[str, Any]] = []  # log-probabilities of all tokens so far
        self._untold = 0  # of them, at the end, those that no delta has told
        self._began = False
        self._turn = Turn()

    @property
    def response(self) -> dict[str, Any]:
        """As far as it has come."""
        growing = [self._open.item] if self._open else []
        return {**self._head, "output": [dict(item) for item in (*self._done, *growing)]}

    def push(self, chunk: Chunk) -> list[Event]:
        events: list[Event] = []
        if not self._began:
            self._began = True
            self._head = {**self._head, "model": chunk["model"]}
            for name in ("created", "in_progress"):
                events.append({"type": f"response.{name}", "response": self.response})
        tokens = tokens_of(chunk)
        if tokens is not None:
            self._head = {**self._head, "usage": _usage(tokens)}
        piece = self._turn.next(chunk)
        if piece is not None:
            events += self._grow(piece)
        return self._numbered(events)

    def end(self) -> list[Event]:
        """After the last chunk. Raises InternalError for a chat that did not come to an end."""
        self._turn.check_finished()
        if self._turn.finish != "length":
            return self._end("completed", "completed")
        details = {"reason": "max_output_tokens"}
        return self._end("incomplete", "incomplete", incomplete_details=details)

    def failed(self, message: str) -> list[Event]:
        error = {"code": "server_error", "message": message}
        return self._end("failed", "failed", error=error)

    def cancelled(self) -> list[Event]:
        """There is no event of its own for it: the status of the response tells."""
        return self._end("cancelled", "incomplete")

    def _end(self, status: str, event: str, **changes: object) -> list[Event]:
        whole = status == "completed"
        events = self._say(self._turn.late) if self._turn.late else []
        if whole and not self._done and self._open is None:
            events += self._begin(OpenMessage(self._id("msg"), 0))
        events += self._close("completed" if whole else "incomplete")
        self._head = {**self._head, "status": status, **changes}
        events.append({"type": f"response.{event}", "response": self.response})
        return self._numbered(events)

    def _grow(self, piece: Piece) -> list[Event]:
        events: list[Event] = []
        self._entries += piece.logprobs
        self._untold += len(piece.logprobs)
        if piece.reasoning:
            events += self._reason(piece.reasoning)
        if piece.content:
            events += self._say(piece.content)
        for call in piece.calls:
            events += self._call(call)
        return events

    def _reason(self, text: str) -> list[Event]:
        events: list[Event] = []
        if not isinstance(self._open, OpenReasoning):
            events += self._close()
            opened = OpenReasoning(self._id("rs"), len(self._done), self._encrypted)
            events += self._begin(opened)
        else:
            opened = self._open
        self._reasoning += text
        self._untold = 0
        return events + opened.push(text)

    def _say(self, text: str) -> list[Event]:
        events: list[Event] = []
        if not isinstance(self._open, OpenMessage):
            events += self._close()
            opened = OpenMessage(self._id("msg"), len(self._done))
            events += self._begin(opened)
        else:
            opened = self._open
        untold = self._entries[len(self._entries) - self._untold :]
        self._untold = 0
        return events + opened.push(text, logprobs=untold)

    def _call(self, piece: CallPiece) -> list[Event]:
        events: list[Event] = []
        if not isinstance(self._open, OpenCall) or self._open.number != piece.index:
            events += self._close()
            opened = OpenCall(self._id("fc"), len(self._done), piece)
            events += self._begin(opened)
        else:
            opened = self._open
        self._untold = 0
        return events + (opened.push(piece.arguments) if piece.arguments else [])

    def _begin(self, item: OpenItem) -> list[Event]:
        self._open = item
        return item.begin()

    def _close(self, status: str = "completed") -> list[Event]:
        if self._open is None:
            return []
        if isinstance(self._open, OpenMessage):
            text = self._open.part["text"]
            self._open.set_logprobs(entries_of(self._entries, self._reasoning, text))
        events = self._open.end(status)
        self._done.append(self._open.item)
        self._open = None
        return events

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._suffix}_{len(self._done)}"

    def _numbered(self, events: Iterable[Event]) -> list[Event]:
        numbered = []
        for event in events:
            numbered.append({**event, "sequence_number": self._sequence})
            self._sequence += 1
        return numbered


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": 0},
        "output_tokens": tokens.completion,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.completion,
    }
