"""What a parser of tool calls is, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Content:
    text: str


@dataclass(frozen=True, slots=True)
class CallBegan:
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next part of the JSON object."""

    fragment: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """`complete`: the arguments are a JSON object from its first to its last character."""

    complete: bool


ToolEvent = Content | CallBegan | CallArguments | CallEnded


class ToolParser(Protocol):
    """Of one choice. Markup that turns out to be none comes back as content, unless a part of
    the call has been told already; then the call ends incomplete.
    """

    @property
    def inside(self) -> bool:
        """In the middle of a call's markup."""
        ...

    def push(self, text: str) -> list[ToolEvent]: ...

    def end(self, cut: bool) -> list[ToolEvent]:
        """No more text comes. `cut`: the model had not finished; a call of which nothing was told
        is dropped then, otherwise it is content.
        """
        ...


class ToolFormat(Protocol):
    """How one family of models writes its calls."""

    @property
    def name(self) -> str:
        """As --tool-call-parser has it: a call is forced by a grammar of this name."""
        ...

    @property
    def visible(self) -> Sequence[str]:
        """Special tokens that the parser must see in the text."""
        ...

    def parser(self) -> ToolParser: ...

    def new_id(self) -> str:
        """For one call; unique."""
        ...


class ToolFactory(Protocol):
    """What an entry point of `baton.tool_parsers` names."""

    def __call__(self) -> ToolFormat: ...
