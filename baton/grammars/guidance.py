"""Grammars by llguidance."""

from collections.abc import Collection
from logging import Logger
from pathlib import Path

from llguidance import LLMatcher, LLTokenizer

from baton.core.errors import RequestError
from baton.grammars.compiled import compile_grammar, reason_of
from baton.grammars.tokens import load_tokens


class GuidanceCompiler:
    def __init__(
        self, folder: Path, vocab_size: int, eos_token_ids: Collection[int], logger: Logger
    ) -> None:
        """As for `load_tokens`."""
        self._tokens: LLTokenizer = load_tokens(folder, vocab_size, eos_token_ids, logger)
        self.ends = frozenset(self._tokens.eos_tokens)

    def compiled(self, text: str) -> "GuidanceGrammar":
        return GuidanceGrammar(compile_grammar(text, self._tokens))


class GuidanceGrammar:
    """All that its matchers learn of the lexer they share."""

    def __init__(self, start: LLMatcher) -> None:
        self._start = start

    def matcher(self) -> "GuidanceMatcher":
        return GuidanceMatcher(self._start.deep_copy())


class GuidanceMatcher:
    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def over(self) -> bool:
        return bool(self._matcher.is_stopped())

    @property
    def complete(self) -> bool:
        return bool(self._matcher.is_accepting())

    def take(self, token_id: int) -> bool:
        return bool(self._matcher.consume_token(token_id))

    def allowed(self, vocab_size: int) -> bytearray:
        mask = bytearray(self._matcher.compute_logit_bias())[:vocab_size]
        if self._matcher.is_error():
            raise RequestError(f"the grammar cannot go on: {reason_of(self._matcher)}")
        return mask
