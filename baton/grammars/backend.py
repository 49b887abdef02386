"""What a library of grammars does for us. Both implementations are functions of tokens alone."""

from typing import Protocol


class Matcher(Protocol):
    """Where one answer stands in its grammar."""

    @property
    def over(self) -> bool:
        """Whether the end was read, or nothing but the end can follow."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        ...

    def take(self, token_id: int) -> bool:
        """False where the token cannot follow."""
        ...

    def allowed(self, vocab_size: int) -> bytearray:
        """One byte per token id, 0 where it must not be drawn. Raises RequestError where the
        grammar cannot go on.
        """
        ...


class CompiledGrammar(Protocol):
    def matcher(self) -> Matcher:
        """A new one, at the beginning; cheap."""
        ...


class Compiler(Protocol):
    """Holds the vocabulary."""

    @property
    def ends(self) -> frozenset[int]:
        """Token ids that it takes for the end of an answer."""
        ...

    def compiled(self, text: str) -> CompiledGrammar:
        """Raises RequestError that says what is wrong with the grammar."""
        ...
