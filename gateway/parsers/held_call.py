"""A JSON call that can still turn out to be plain text."""

from enum import Enum, auto

from gateway.parsers.json_call import JsonCall, MalformedError
from gateway.parsers.tools import CallEnded, Content, ToolEvent


class Outcome(Enum):
    MORE = auto()  # of the call is yet to come
    WHOLE = auto()
    BROKEN = auto()  # no call, or none any more


class HeldCall:
    """Keeps the text until the call has begun, to give it back as content if it never does."""

    def __init__(self, markup: str) -> None:
        """`markup`: what the call was introduced by."""
        self._call = JsonCall()
        self._raw = [markup]

    @property
    def began(self) -> bool:
        return self._call.began

    def push(self, text: str, events: list[ToolEvent]) -> tuple[Outcome, str]:
        """Adds to `events`. The second is what stands behind the call; empty while there is more."""
        try:
            rest = self._call.push(text, events)
        except MalformedError:
            self._raw.append(text[: self._call.read])
            self._give_back(events)
            return Outcome.BROKEN, text[self._call.read :]
        self._raw.append("" if self._call.began else text)
        return (Outcome.WHOLE if self._call.done else Outcome.MORE), rest

    def end(self, cut: bool, events: list[ToolEvent]) -> None:
        """As for ToolParser."""
        if self._call.began or not cut:
            self._give_back(events)

    def _give_back(self, events: list[ToolEvent]) -> None:
        raw = "".join(self._raw)
        events.append(CallEnded(False) if self._call.began else Content(raw))
