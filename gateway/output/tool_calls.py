"""The tool calls of one choice: what a parser finds becomes numbered deltas."""

from collections.abc import Iterable

from gateway.output.delta import ToolCallDelta
from gateway.parsers.tools import (
    CallArguments,
    CallBegan,
    CallEnded,
    Content,
    ToolEvent,
    ToolFormat,
)
from gateway.tool_use import ToolMode, ToolUse


class ToolCalls:
    def __init__(self, format: ToolFormat, use: ToolUse) -> None:
        self._format = format
        self._use = use
        self._parser = format.parser()
        self._count = 0  # calls that have begun
        self._complete = 0
        self._unfinished = False  # the text ended within a call

    @property
    def enough(self) -> bool:
        """The one call that was allowed, or asked for by name, is over."""
        single = not self._use.parallel or self._use.mode is ToolMode.NAMED
        return single and self._complete > 0

    def push(self, text: str) -> tuple[str, list[ToolCallDelta]]:
        """(content, calls)"""
        return self._told(self._parser.push(text))

    def end(self, cut: bool) -> tuple[str, list[ToolCallDelta]]:
        """`cut`: the model had more to say."""
        self._unfinished = self._parser.inside
        content, calls = self._told(self._parser.end(cut))
        return ("" if cut and self._use.mode.forced else content), calls

    def reason(self, other: str) -> str:
        """The choice's finish reason, where it would be `other` without tools."""
        if not self._count or self._complete < self._count:
            return other
        if self._unfinished and other == "length":
            return other
        return "stop" if self._use.mode is ToolMode.NAMED else "tool_calls"

    def _told(self, events: Iterable[ToolEvent]) -> tuple[str, list[ToolCallDelta]]:
        content, calls = "", list[ToolCallDelta]()
        for event in events:
            if self.enough:
                break
            match event:
                case Content(text):
                    content += text
                case CallBegan(name):
                    self._count += 1
                    calls.append(
                        ToolCallDelta(self._count - 1, id=self._format.new_id(), name=name)
                    )
                case CallArguments(fragment):
                    calls.append(ToolCallDelta(self._count - 1, fragment))
                case CallEnded(complete):
                    self._complete += complete
        return content, calls
