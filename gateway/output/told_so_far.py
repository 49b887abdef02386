"""How much of an answer its client has, and what of the same answer is new to it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.output import Delta, ToolCallDelta


@dataclass(frozen=True, slots=True)
class ToldSoFar:
    """Characters of one choice. `calls`: of the arguments of each tool call that was begun."""

    text: int = 0
    reasoning: int = 0
    calls: tuple[int, ...] = ()

    def plus(self, deltas: Iterable[Delta]) -> "ToldSoFar":
        text, reasoning, calls = self.text, self.reasoning, list(self.calls)
        for delta in deltas:
            text += len(delta.text)
            reasoning += len(delta.reasoning)
            for part in delta.tool_calls:
                calls += [0] * (part.index + 1 - len(calls))
                calls[part.index] += len(part.arguments)
        return ToldSoFar(text, reasoning, tuple(calls))


NOTHING_TOLD = ToldSoFar()


class Behind:
    """Cuts off of an answer, told again from its beginning, what its client has already."""

    def __init__(self, told: ToldSoFar) -> None:
        self._text, self._reasoning = told.text, told.reasoning  # still to be cut off
        self._calls = list(told.calls)

    def cut(self, delta: Delta) -> Delta:
        if not (self._text or self._reasoning or self._calls):
            return delta
        text, reasoning = delta.text[self._text :], delta.reasoning[self._reasoning :]
        self._text -= len(delta.text) - len(text)
        self._reasoning -= len(delta.reasoning) - len(reasoning)
        calls = [new for part in delta.tool_calls if (new := self._of_call(part)) is not None]
        return replace(delta, text=text, reasoning=reasoning, tool_calls=tuple(calls))

    def _of_call(self, part: ToolCallDelta) -> ToolCallDelta | None:
        if part.index >= len(self._calls):
            return part
        arguments = part.arguments[self._calls[part.index] :]
        self._calls[part.index] -= len(part.arguments) - len(arguments)
        return ToolCallDelta(part.index, arguments) if arguments else None
