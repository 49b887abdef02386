"""A call as a JSON object: {"name": ..., "arguments": {...}}."""

import json
from enum import Enum, auto

from gateway.parsers.json_value import SPACE, JsonValue
from gateway.parsers.tools import CallArguments, CallBegan, CallEnded, ToolEvent

ARGUMENTS = ("arguments", "parameters")
OTHER_KEYS = ("type", "id", "index", "call_id")


class MalformedError(Exception):
    """The text is no call."""


class _Stage(Enum):
    OPEN = auto()  # the object's bracket comes next
    KEY = auto()
    COLON = auto()
    VALUE = auto()
    COMMA = auto()  # or the closing bracket
    DONE = auto()


class JsonCall:
    """The call begins with its arguments, or at its end if it has none: until then it can be taken
    back. Arguments are given out as the model writes them.
    """

    def __init__(self) -> None:
        self._stage = _Stage.OPEN
        self._first = True  # no key yet
        self._key = ""
        self._value = JsonValue()
        self._name: str | None = None
        self._early = ""  # arguments that came before the name
        self._arguments: list[str] = []
        self._live = False  # the value that is being read is given out as it comes
        self.began = False
        self.done = False
        self.read = 0  # characters of the last `push` that went well

    def push(self, text: str, events: list[ToolEvent]) -> str:
        """Adds to `events`; gives what stands behind the call. Raises MalformedError."""
        at = 0
        while not self.done:
            if self._stage is not _Stage.VALUE or not self._value.kind:
                while at < len(text) and text[at] in SPACE:
                    at += 1
            if at == len(text):
                break
            self.read = at
            at = self._step(text, at, events)
        self.read = at
        return text[at:]

    def _step(self, text: str, at: int, events: list[ToolEvent]) -> int:
        match self._stage:
            case _Stage.OPEN:
                self._expect(text[at], "{")
                self._stage = _Stage.KEY
                return at + 1
            case _Stage.KEY:
                return self._read_key(text, at, events)
            case _Stage.COLON:
                self._expect(text[at], ":")
                self._stage, self._value = _Stage.VALUE, JsonValue()
                return at + 1
            case _Stage.VALUE:
                return self._read_value(text, at, events)
            case _:
                if text[at] == "}":
                    self._finish(events)
                else:
                    self._expect(text[at], ",")
                    self._stage, self._value = _Stage.KEY, JsonValue()
                return at + 1

    def _read_key(self, text: str, at: int, events: list[ToolEvent]) -> int:
        if not self._value.kind:
            if text[at] == "}" and self._first:
                raise MalformedError
            self._expect(text[at], '"')
        at, over = self._value.feed(text, at)
        if over:
            self._first = False
            self._key = _string(self._value.text)
            known = self._key == "name" or self._key in ARGUMENTS or self._key in OTHER_KEYS
            if not known and not self.began:
                raise MalformedError
            self._stage = _Stage.COLON
        return at

    def _read_value(self, text: str, at: int, events: list[ToolEvent]) -> int:
        start, fresh = at, not self._value.kind
        at, over = self._value.feed(text, at)
        wanted = self._key in ARGUMENTS and not self._arguments and not self._early
        if fresh:
            self._live = wanted and self._name is not None and self._value.kind == "{"
        if self._live:
            self._begin(events)
            self._tell(text[start:at], events)
        if over:
            self._stage = _Stage.COMMA
            if self._key == "name" and self._name is None:
                self._name = _string(self._value.text)
            elif wanted and not self._live:
                self._early = arguments_text(self._value.text)
            self._live = False
        return at

    def _finish(self, events: list[ToolEvent]) -> None:
        if self._name is None:
            raise MalformedError
        self._begin(events)
        if not self._arguments:
            self._tell(self._early or "{}", events)
        events.append(CallEnded(is_object("".join(self._arguments))))
        self.done = True
        self._stage = _Stage.DONE

    def _begin(self, events: list[ToolEvent]) -> None:
        if not self.began:
            self.began = True
            events.append(CallBegan(self._name or ""))

    def _tell(self, fragment: str, events: list[ToolEvent]) -> None:
        if fragment:
            self._arguments.append(fragment)
            events.append(CallArguments(fragment))

    def _expect(self, character: str, wanted: str) -> None:
        if character != wanted:
            raise MalformedError


def arguments_text(text: str) -> str:
    """A whole value as arguments: some models write null, or the object once more as a string."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if value is None or value == "":
        return "{}"
    return value if isinstance(value, str) and is_text(value) and is_object(value) else text


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_no_json), dict)
    except (ValueError, RecursionError):
        return False


def _no_json(constant: str) -> object:
    """NaN and infinities, which Python reads."""
    raise ValueError(f"{constant} is not JSON")


def _string(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise MalformedError from error
    if not isinstance(value, str) or not value or not is_text(value):
        raise MalformedError
    return value


def is_text(value: str) -> bool:
    """Half of a surrogate pair, which JSON can escape, is none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
