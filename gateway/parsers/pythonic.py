"""[name(key="value", other=3), second()] as the whole answer, as Llama 3.2 and 4 write it."""

import json
import re
from enum import Enum, auto

from gateway.parsers.json_value import SPACE
from gateway.parsers.python_value import PythonValue, json_of
from gateway.parsers.tool_ids import ToolIds
from gateway.parsers.tools import CallArguments, CallBegan, CallEnded, Content, ToolEvent

START, END = "<|python_start|>", "<|python_end|>"
_NAME = re.compile(r"[A-Za-z_][\w.\-]*")
_NOT_NAME = re.compile(r"[^\w.\-]")


class PythonicFormat(ToolIds):
    name = "pythonic"
    visible = (START, END)

    def parser(self) -> "PythonicParser":
        return PythonicParser()


class _Stage(Enum):
    START = auto()
    NAME = auto()  # of a function
    KEY = auto()  # or the end of the call
    VALUE = auto()
    BETWEEN = auto()  # behind a call
    DONE = auto()  # behind the list
    CONTENT = auto()


class PythonicParser:
    """Arguments are given out one by one, as JSON. Content that does not begin with a call is
    content to its end.
    """

    def __init__(self) -> None:
        self._stage = _Stage.START
        self._raw = ""  # markup that can still be given back
        self._word = ""  # the name or key that is being read
        self._name = ""
        self._value = PythonValue()
        self._began = False
        self._count = 0  # arguments that were told

    @property
    def inside(self) -> bool:
        return self._stage in (_Stage.NAME, _Stage.KEY, _Stage.VALUE)

    def push(self, text: str) -> list[ToolEvent]:
        events: list[ToolEvent] = []
        while text:
            text = self._step(text, events)
        return events

    def end(self, cut: bool) -> list[ToolEvent]:
        if self._began and self.inside:
            return [CallEnded(False)]
        if self._stage is _Stage.START or (self.inside and not cut):
            return [Content(self._raw)]
        return []

    def _step(self, text: str, events: list[ToolEvent]) -> str:
        match self._stage:
            case _Stage.START:
                return self._started(text)
            case _Stage.NAME:
                return self._in_word(text, "(", events)
            case _Stage.KEY:
                return self._in_word(text, "=", events)
            case _Stage.VALUE:
                return self._in_value(text, events)
            case _Stage.BETWEEN:
                return self._between(text)
            case _Stage.DONE:
                self._stage = _Stage.CONTENT
                return text.removeprefix(END).lstrip(SPACE)
            case _:
                events.append(Content(text))
                return ""

    def _started(self, text: str) -> str:
        self._raw += text
        body = self._raw.lstrip(SPACE)
        body = body.removeprefix(START).lstrip(SPACE)
        if not body or START.startswith(body):
            return ""
        if not body.startswith("["):
            raw, self._raw = self._raw, ""
            self._stage = _Stage.CONTENT
            return raw
        self._raw = self._raw[: len(self._raw) - len(body) + 1]
        self._to_name()
        return body[1:]

    def _in_word(self, text: str, wanted: str, events: list[ToolEvent]) -> str:
        """A name up to the character behind it; white space may stand around it."""
        match = _NOT_NAME.search(text)
        if match is None:
            self._read(text)
            return ""
        at = match.start()
        self._read(text[:at])
        mark = text[at]
        if mark in SPACE:
            self._word += " " if self._word else ""  # no name holds one, but behind it
            self._raw_only(mark)
            return text[at + 1 :]
        if mark == ")" and wanted == "=" and not self._word:
            self._end_call(events)
            return text[at + 1 :]
        self._word = self._word.rstrip()
        if mark != wanted or _NAME.fullmatch(self._word) is None:
            return self._broken(text[at:], events)
        self._raw_only(mark)
        self._entered(wanted)
        return text[at + 1 :]

    def _entered(self, mark: str) -> None:
        if mark == "(":
            self._name, self._word, self._stage = self._word, "", _Stage.KEY
        else:
            self._value, self._stage = PythonValue(), _Stage.VALUE

    def _in_value(self, text: str, events: list[ToolEvent]) -> str:
        end, over = self._value.feed(text, 0)
        self._raw_only(text[:end])
        if not over:
            return ""
        try:
            value = json_of(self._value.text)
        except ValueError:
            return self._broken(text[end:], events)
        self._begin(events)
        key = json.dumps(self._word, ensure_ascii=False)
        events.append(CallArguments(f"{', ' if self._count else '{'}{key}: {value}"))
        self._count += 1
        self._word = ""
        if text[end] == ")":
            self._end_call(events)
        elif text[end] == ",":
            self._stage = _Stage.KEY
        else:
            return self._broken(text[end:], events)
        return text[end + 1 :]

    def _between(self, text: str) -> str:
        body = text.lstrip(SPACE)
        if body.startswith(","):
            self._to_name()
            return body[1:]
        if body.startswith("]"):
            self._stage = _Stage.DONE
            return body[1:]
        if body:
            self._stage = _Stage.CONTENT
        return body

    def _begin(self, events: list[ToolEvent]) -> None:
        if not self._began:
            self._began, self._raw = True, ""
            events.append(CallBegan(self._name))

    def _end_call(self, events: list[ToolEvent]) -> None:
        self._begin(events)
        events.append(CallArguments("}" if self._count else "{}"))
        events.append(CallEnded(True))
        self._began, self._raw, self._count = False, "", 0
        self._stage = _Stage.BETWEEN

    def _broken(self, rest: str, events: list[ToolEvent]) -> str:
        events.append(CallEnded(False) if self._began else Content(self._raw))
        self._stage, self._raw, self._began = _Stage.CONTENT, "", False
        return rest

    def _to_name(self) -> None:
        self._stage, self._word = _Stage.NAME, ""

    def _read(self, text: str) -> None:
        self._word += text
        self._raw_only(text)

    def _raw_only(self, text: str) -> None:
        if not self._began:
            self._raw += text
