"""[TOOL_CALLS][{"name": ..., "arguments": {...}}, ...], or with newer tokenizers
[TOOL_CALLS]name{...} and [TOOL_CALLS]name[ARGS]{...}, once per call.
"""

import secrets
import string
from enum import Enum, auto

from gateway.parsers.held_call import HeldCall, Outcome
from gateway.parsers.json_call import is_object
from gateway.parsers.json_value import SPACE, JsonValue
from gateway.parsers.tag_search import TagSearch
from gateway.parsers.tools import CallArguments, CallBegan, CallEnded, Content, ToolEvent

START, CALL_ID, ARGS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
_ALPHABET = string.ascii_letters + string.digits
_LONGEST_NAME = 256  # characters


class MistralFormat:
    name = "mistral"
    visible = (START, CALL_ID, ARGS)

    def parser(self) -> "MistralParser":
        return MistralParser()

    def new_id(self) -> str:
        """The chat template takes no others."""
        return "".join(secrets.choice(_ALPHABET) for _ in range(9))


class _Stage(Enum):
    CONTENT = auto()
    OPEN = auto()  # behind the tag: a list or a name comes next
    ITEM = auto()  # in an object of the list
    BETWEEN = auto()  # behind one
    NAME = auto()
    ARGUMENTS = auto()


class MistralParser:
    def __init__(self) -> None:
        self._stage = _Stage.CONTENT
        self._search = TagSearch((START,))
        self._call = HeldCall("")
        self._raw = ""  # markup that can still be given back
        self._name = ""
        self._value = JsonValue()
        self._space = ""  # at the beginning of the content, or behind a call
        self._text = False
        self._called = False  # and nothing but space came since

    @property
    def inside(self) -> bool:
        return self._stage not in (_Stage.CONTENT, _Stage.BETWEEN)

    def push(self, text: str) -> list[ToolEvent]:
        events: list[ToolEvent] = []
        while text:
            match self._stage:
                case _Stage.CONTENT:
                    text = self._in_content(text, events)
                case _Stage.OPEN:
                    text = self._opened(text)
                case _Stage.ITEM:
                    text = self._in_item(text, events)
                case _Stage.BETWEEN:
                    text = self._between(text)
                case _Stage.NAME:
                    text = self._in_name(text, events)
                case _Stage.ARGUMENTS:
                    text = self._in_arguments(text, events)
        return events

    def end(self, cut: bool) -> list[ToolEvent]:
        events: list[ToolEvent] = []
        match self._stage:
            case _Stage.CONTENT:
                held = self._search.end()
                if not self._called or (held and not cut):
                    self._content(held, events, last=True)
            case _Stage.ITEM:
                self._call.end(cut, events)
            case _Stage.ARGUMENTS:
                events.append(CallEnded(False))
            case _Stage.OPEN | _Stage.NAME if not cut:
                events.append(Content(self._raw))
        return events

    def _in_content(self, text: str, events: list[ToolEvent]) -> str:
        before, tag, rest = self._search.push(text)
        self._content(before, events)
        if tag is not None:
            self._stage, self._raw, self._space = _Stage.OPEN, self._space + START, ""
        return rest

    def _content(self, text: str, events: list[ToolEvent], last: bool = False) -> None:
        text = self._space + text
        if text.strip(SPACE):
            self._text, self._called = True, False
        self._space = "" if self._text or last else text
        if self._text or last:
            events.append(Content(text))

    def _opened(self, text: str) -> str:
        body = text.lstrip(SPACE)
        self._raw += text[: len(text) - len(body)]
        if body.startswith("["):
            self._item(self._raw + "[")
            return body[1:]
        if body:
            self._stage, self._name = _Stage.NAME, ""
        return body

    def _item(self, markup: str) -> None:
        self._stage, self._call = _Stage.ITEM, HeldCall(markup)

    def _in_item(self, text: str, events: list[ToolEvent]) -> str:
        outcome, rest = self._call.push(text, events)
        if outcome is Outcome.BROKEN:
            self._to_content(text=True)
        elif outcome is Outcome.WHOLE:
            self._stage, self._raw = _Stage.BETWEEN, ""
        return rest

    def _between(self, text: str) -> str:
        """Behind an object of the list: a comma and the next one, or the end."""
        body = text.lstrip(SPACE)
        self._raw += text[: len(text) - len(body)]
        if body.startswith(","):
            self._item(self._raw + ",")
            return body[1:]
        if body:
            self._to_content(text=False)
        return body.removeprefix("]")

    def _in_name(self, text: str, events: list[ToolEvent]) -> str:
        before, bracket, rest = text.partition("{")
        self._raw += before
        self._name += before
        if not bracket:
            if len(self._name) > _LONGEST_NAME:
                self._give_back(events)
            return ""
        name = self._name.removesuffix(ARGS).split(CALL_ID)[0].strip()
        if not name or len(name.split()) > 1:
            self._give_back(events)
            return bracket + rest
        events.append(CallBegan(name))
        self._stage, self._value = _Stage.ARGUMENTS, JsonValue()
        return bracket + rest

    def _in_arguments(self, text: str, events: list[ToolEvent]) -> str:
        end, over = self._value.feed(text, 0)
        events.append(CallArguments(text[:end]))
        if over:
            events.append(CallEnded(is_object(self._value.text)))
            self._to_content(text=False)
        return text[end:]

    def _give_back(self, events: list[ToolEvent]) -> None:
        events.append(Content(self._raw))
        self._to_content(text=True)

    def _to_content(self, text: bool) -> None:
        self._stage, self._text, self._raw = _Stage.CONTENT, text, ""
        self._called = not text
        self._search = TagSearch((START,))
        self._space = ""
