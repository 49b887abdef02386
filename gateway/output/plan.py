"""What one request wants of its answer's text."""

from dataclasses import dataclass

from gateway.parsers.reasoning import ReasoningFormat
from gateway.parsers.tools import ToolFormat
from gateway.prompts.vocabulary import Vocabulary
from gateway.tool_use import NO_TOOLS, ToolMode, ToolUse


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """`primary_eos`: the token whose end needs no reason, None if there is none. `continued`: the
    prompt ends within the message that the answer goes on with. `echo` is repeated before the
    answer.
    """

    primary_eos: int | None = None
    stop: tuple[str, ...] = ()
    include_stop: bool = False  # a stop string or stop token stays in the text
    skip_special: bool = True
    reasoning: ReasoningFormat | None = None
    include_reasoning: bool = True
    tools: ToolFormat | None = None
    tool_use: ToolUse = NO_TOOLS
    continued: bool = False
    mute: bool = False  # no token of the answer is wanted, only the prompt's log-probabilities
    echo: str | None = None
    interval: int = 1  # tokens per chunk of a stream

    @property
    def parsed(self) -> bool:
        """Whether anything but text can come of it."""
        return self.reasoning is not None or self.calls is not None

    @property
    def calls(self) -> ToolFormat | None:
        return None if self.tool_use.mode is ToolMode.OFF else self.tools

    def visible(self, vocabulary: Vocabulary) -> frozenset[int] | None:
        """Special tokens that have text; None: all."""
        if not self.skip_special:
            return None
        wanted = {*(self.reasoning.visible if self.reasoning else ())}
        wanted |= {*(self.calls.visible if self.calls else ())}
        if not wanted:
            return frozenset()
        spellings = {text.encode() for text in wanted}
        return frozenset(i for i, text in vocabulary.specials.items() if text in spellings)


PLAIN = OutputPlan()
