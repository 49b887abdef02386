"""The vocabulary in bytes, as libraries of grammars want it."""

from collections.abc import Collection
from dataclasses import dataclass

from tokenizers import Tokenizer

from baton.grammars.spelling import speller_of


@dataclass(frozen=True, slots=True)
class Pieces:
    """`texts[id]`: the bytes that a token stands for, a special one as it is written, empty where
    it stands for none. `special`: ids of those that are no text of an answer.
    """

    texts: list[bytes]
    special: frozenset[int]

    @property
    def unused(self) -> list[int]:
        return [token_id for token_id, text in enumerate(self.texts) if not text]


def pieces_of(tokenizer: Tokenizer, vocab_size: int) -> Pieces:
    """`vocab_size`: of the logits; there may be fewer of them than tokens, or more.

    Raises SettingsError for a tokenizer of another family.
    """
    spelled = speller_of(tokenizer)
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    added = tokenizer.get_added_tokens_decoder()
    texts = [b""] * max(vocab_size, max(vocab.values(), default=-1) + 1)
    for text, token_id in vocab.items():
        texts[token_id] = text.encode() if token_id in added else spelled(text)
    special = frozenset(token_id for token_id, token in added.items() if token.special)
    return Pieces(texts, special)


def by_name(pieces: Pieces, token_ids: Collection[int], mark: bytes = b"") -> list[bytes]:
    """`texts`, where these tokens are spelled `<[id]>` behind `mark`: none may begin another."""
    texts = list(pieces.texts)
    for token_id in token_ids:
        texts[token_id] = mark + f"<[{token_id}]>".encode()
    return texts
