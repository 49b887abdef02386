"""<tool_call>{"name": ..., "arguments": {...}}</tool_call>, as Hermes and Qwen write it."""

from gateway.parsers.held_call import HeldCall, Outcome
from gateway.parsers.json_value import SPACE
from gateway.parsers.tag_search import TagSearch
from gateway.parsers.tool_ids import ToolIds
from gateway.parsers.tools import Content, ToolEvent

START, END = "<tool_call>", "</tool_call>"


class HermesFormat(ToolIds):
    name = "hermes"
    visible = (START, END)

    def parser(self) -> "HermesParser":
        return HermesParser()


class HermesParser:
    """White space around calls is markup; around text it is text."""

    def __init__(self) -> None:
        self._call: HeldCall | None = None
        self._search = TagSearch((START,))
        self._after = False  # behind a call: its end tag is still to come
        self._space = ""  # withheld until it is clear what it belongs to
        self._text = False  # the content, or what came since the last call, is not all space

    @property
    def inside(self) -> bool:
        return self._call is not None

    def push(self, text: str) -> list[ToolEvent]:
        events: list[ToolEvent] = []
        while text:
            if self._call is not None:
                text = self._in_call(self._call, text, events)
            else:
                text = self._in_content(text, events)
        return events

    def end(self, cut: bool) -> list[ToolEvent]:
        events: list[ToolEvent] = []
        if self._call is not None:
            self._call.end(cut, events)
            self._call = None
            return events
        held = self._search.end()
        if not self._after or (held and not cut):
            events.append(Content(self._space + held))
        return events

    def _in_call(self, call: HeldCall, text: str, events: list[ToolEvent]) -> str:
        outcome, rest = call.push(text, events)
        if outcome is Outcome.MORE:
            return ""
        self._call = None
        whole = outcome is Outcome.WHOLE or call.began
        self._after, self._text, self._space = whole, not whole, ""
        self._search = TagSearch((START, END) if whole else (START,))
        return rest

    def _in_content(self, text: str, events: list[ToolEvent]) -> str:
        before, tag, rest = self._search.push(text)
        self._content(before, events)
        if tag == START:
            self._call = HeldCall(self._space + START)
        elif tag == END:
            self._search, self._space = TagSearch((START,)), ""
        return rest

    def _content(self, text: str, events: list[ToolEvent]) -> None:
        """Space that begins the content, or that follows a call, waits for what comes next."""
        if self._text:
            events.append(Content(text))
            return
        self._space += text
        if self._space.strip(SPACE):
            self._text, self._after = True, False
            events.append(Content(self._space))
            self._space = ""
