"""xgrammar, where it is installed. Its tests are skipped elsewhere: it is an optional extra that brings
a gigabyte.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from baton.grammars.backend import Matcher
from baton.grammars.xgrammar_compiler import XgrammarCompiler

needs_xgrammar = pytest.mark.skipif(
    find_spec("xgrammar") is None,
    reason="xgrammar, an optional extra, is not installed: pip install 'baton-serving[xgrammar]'",
)
# What it brings along warns while it is imported.
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class XgrammarAcceptance:
    """Which texts a grammar takes, token by token."""

    def __init__(self, compiler: XgrammarCompiler, folder: Path, vocab_size: int) -> None:
        self._compiler = compiler
        self._size = vocab_size
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.encode_special_tokens = True

    def takes(self, grammar: str, text: str) -> bool:
        """Whether `text` is a whole answer."""
        matcher = self._after(grammar, self.ids(text))
        return matcher is not None and matcher.complete

    def begins(self, grammar: str, text: str) -> bool:
        """Whether `text` can begin one."""
        return self._after(grammar, self.ids(text)) is not None

    def takes_tokens(self, grammar: str, token_ids: list[int]) -> bool:
        matcher = self._after(grammar, token_ids)
        return matcher is not None and matcher.complete

    def begins_with_tokens(self, grammar: str, token_ids: list[int]) -> bool:
        return self._after(grammar, token_ids) is not None

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _after(self, grammar: str, token_ids: list[int]) -> Matcher | None:
        """None where a token was not allowed. The mask and what is taken must agree."""
        matcher = self._compiler.compiled(grammar).matcher()
        for token_id in token_ids:
            allowed = bool(matcher.allowed(self._size)[token_id])
            assert allowed == matcher.take(token_id)
            if not allowed:
                return None
        return matcher
