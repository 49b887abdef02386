"""What a reasoning parser is."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.prompts.vocabulary import Vocabulary


class Parts(NamedTuple):
    """New text, divided. The tags are in neither part."""

    reasoning: str
    content: str


NOTHING = Parts("", "")


class ReasoningParser(Protocol):
    """Of one choice. Everything before the boundary is reasoning, everything behind it content."""

    @property
    def boundary(self) -> int | None:
        """Characters of the reasoning with its tags, 0 if there is none. None: not known yet. Once
        it is known, content is passed on as it comes.
        """
        ...

    @property
    def thinking(self) -> bool:
        """Whether the text so far ends in reasoning."""
        ...

    def push(self, text: str) -> Parts: ...

    def tag(self, token_id: int, end: int) -> None:
        """The text of one of the format's `tag_ids` ends before this character of the answer.
        Comes before that text.
        """
        ...

    def end(self) -> Parts:
        """What was withheld, when no more text comes."""
        ...


class ReasoningFormat(Protocol):
    """How one family of models writes its reasoning."""

    @property
    def end(self) -> str:
        """What ends the reasoning: a grammar binds from behind it."""
        ...

    @property
    def visible(self) -> Sequence[str]:
        """Special tokens that the parser must see in the text."""
        ...

    @property
    def tag_ids(self) -> frozenset[int]:
        """Tokens that the parser wants to be told of."""
        ...

    def parser(self, prompt_tail: str, continued: bool) -> ReasoningParser:
        """`prompt_tail`: the end of the prompt with its special tokens, without white space behind
        it; templates may begin the reasoning, or end it, for the model. `continued`: it ends
        within the message that the model goes on with.
        """
        ...


class ReasoningFactory(Protocol):
    """What an entry point of `baton.reasoning_parsers` names."""

    def __call__(self, vocabulary: Vocabulary) -> ReasoningFormat: ...
