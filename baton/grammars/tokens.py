"""The vocabulary as llguidance sees it."""

import time
from collections.abc import Collection
from logging import Logger
from pathlib import Path

from llguidance import LLTokenizer, TokenizerWrapper
from tokenizers import Tokenizer

from baton.core.errors import RequestError, SettingsError
from baton.grammars.pieces import by_name, pieces_of


def load_tokens(
    folder: Path, vocab_size: int, eos_token_ids: Collection[int], logger: Logger
) -> LLTokenizer:
    """Of the folder's tokenizer.json; a second or two where the vocabulary is large.

    `vocab_size` may be padded beyond the tokenizer's: what stands for no text is never allowed.
    Raises RequestError, for it is read when the first request needs it.
    """
    begun = time.monotonic()
    try:
        text = (folder / "tokenizer.json").read_text("utf-8")
        tokens = grammar_tokens(Tokenizer.from_str(text), vocab_size, eos_token_ids)
    except (OSError, ValueError, SettingsError) as error:
        raise RequestError(f"this model cannot do structured output: {error}") from error
    logger.info("Structured output is ready after %.2f s", time.monotonic() - begun)
    return tokens


def grammar_tokens(
    tokenizer: Tokenizer, vocab_size: int, eos_token_ids: Collection[int]
) -> LLTokenizer:
    """`tokenizer` is changed: it reads special tokens as the text that they are written with.

    The library could read tokenizer.json by itself, in several times as long.
    """
    tokenizer.encode_special_tokens = True  # a piece of an answer is no control token
    backend = _Backend(tokenizer, vocab_size, min(eos_token_ids, default=None))
    return LLTokenizer(TokenizerWrapper(backend), eos_token=sorted(eos_token_ids) or None)


class _Backend:
    """What `TokenizerWrapper` asks for. A model may have fewer logits than there are tokens."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_token_id: int | None) -> None:
        pieces = pieces_of(tokenizer, vocab_size)
        special, unused = pieces.special, pieces.unused
        self.tokens = by_name(pieces, unused)
        self.special_token_ids = sorted({*special, *unused})
        self.eos_token_id = eos_token_id if eos_token_id is not None else min(special, default=0)
        self.bos_token_id = None
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids
