"""The whole answer: by construction what a reader of the stream would have put together."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from baton.core.token_record import TokenRecord
from gateway.output.delta import Delta, StopReason


@dataclass(slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str = ""


@dataclass(slots=True)
class ChoiceText:
    """The deltas of one choice, folded."""

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: StopReason = None
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    records: list[TokenRecord] = field(default_factory=list)
    hidden: int = 0  # tokens of suppressed reasoning
    reasoning_tokens: int | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids) + self.hidden

    @property
    def content(self) -> str | None:
        """None: the choice has something else than text."""
        if self.text:
            return self.text
        return None if self.tool_calls or self.reasoning_tokens else ""

    def add(self, delta: Delta) -> None:
        self.text += delta.text
        self.reasoning += delta.reasoning
        self.token_ids += delta.token_ids
        self.records += delta.records
        self.hidden += delta.hidden
        for part in delta.tool_calls:
            if part.id is not None:
                self.tool_calls.append(ToolCall(part.id, part.name or ""))
            self.tool_calls[part.index].arguments += part.arguments
        if delta.finish_reason is not None:
            self.finish_reason = delta.finish_reason
            self.stop_reason = delta.stop_reason
            self.reasoning_tokens = delta.reasoning_tokens


def fold(deltas: Iterable[Delta], choices: int) -> list[ChoiceText]:
    answers = [ChoiceText() for _ in range(choices)]
    for delta in deltas:
        answers[delta.choice].add(delta)
    return answers
