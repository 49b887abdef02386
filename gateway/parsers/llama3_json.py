"""{"name": ..., "parameters": {...}} as the whole answer, as Llama 3 writes it; several calls are
parted by semicolons. <|python_tag|> may stand before it.
"""

from enum import Enum, auto

from gateway.parsers.held_call import HeldCall, Outcome
from gateway.parsers.json_value import SPACE
from gateway.parsers.tool_ids import ToolIds
from gateway.parsers.tools import Content, ToolEvent

TAG = "<|python_tag|>"


class Llama3JsonFormat(ToolIds):
    name = "llama3_json"
    visible = (TAG,)

    def parser(self) -> "Llama3JsonParser":
        return Llama3JsonParser()


class _Stage(Enum):
    START = auto()
    CALL = auto()
    BETWEEN = auto()
    CONTENT = auto()


class Llama3JsonParser:
    """An answer that begins with anything else is content to its end."""

    def __init__(self) -> None:
        self._stage = _Stage.START
        self._held = ""
        self._call = HeldCall("")

    @property
    def inside(self) -> bool:
        return self._stage is _Stage.CALL

    def push(self, text: str) -> list[ToolEvent]:
        events: list[ToolEvent] = []
        while text:
            match self._stage:
                case _Stage.START:
                    text = self._started(text)
                case _Stage.CALL:
                    outcome, text = self._call.push(text, events)
                    if outcome is Outcome.BROKEN:
                        self._stage = _Stage.CONTENT
                    elif outcome is Outcome.WHOLE:
                        self._stage = _Stage.BETWEEN
                case _Stage.BETWEEN:
                    text = self._between(text)
                case _Stage.CONTENT:
                    events.append(Content(text))
                    text = ""
        return events

    def end(self, cut: bool) -> list[ToolEvent]:
        events: list[ToolEvent] = []
        if self._stage is _Stage.CALL:
            self._call.end(cut, events)
        elif self._stage is _Stage.START:
            events.append(Content(self._held))
        return events

    def _started(self, text: str) -> str:
        self._held += text
        body = self._held.lstrip(SPACE)
        after_tag = body.removeprefix(TAG).lstrip(SPACE)
        if TAG.startswith(body) or not after_tag:
            return ""
        if after_tag.startswith("{"):
            self._stage = _Stage.CALL
            self._call = HeldCall(self._held[: len(self._held) - len(after_tag)])
            return after_tag
        self._stage = _Stage.CONTENT
        return self._held

    def _between(self, text: str) -> str:
        self._held = ""
        body = text.lstrip(SPACE)
        if body.startswith(";"):
            self._stage = _Stage.START
            return body[1:]
        if body:
            self._stage = _Stage.CONTENT
        return body
