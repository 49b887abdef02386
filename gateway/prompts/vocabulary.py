"""The bytes that each token id stands for, read from a tokenizer once.

Two families cover the models served: byte-level BPE (GPT-2, Llama 3, Qwen), whose pieces spell
bytes as printable characters, and SentencePiece with byte fallback (Llama 2, Mistral, Gemma),
whose pieces are text, with <0xNN> for single bytes. The text of an answer is the UTF-8 decoding
of its tokens' bytes, so it can be written token by token without ever being taken back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tokenizers import Tokenizer

from baton.grammars.spelling import speller_of


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`pieces[id]`: bytes of the token, empty for special tokens and for unused ids.
    `specials`: how the special ones are spelled.
    """

    pieces: tuple[bytes, ...]
    specials: Mapping[int, bytes] = field(default_factory=dict)

    def bytes_of(self, token_id: int) -> bytes:
        return self.pieces[token_id] if token_id < len(self.pieces) else b""

    def spelled(self, token_id: int) -> bytes:
        """The same with special tokens as they are written."""
        return self.specials.get(token_id) or self.bytes_of(token_id)

    def id_of(self, text: str) -> int | None:
        """The token that is this text by itself, a special one before others. Searches them all."""
        wanted = text.encode()
        for token_id, spelling in self.specials.items():
            if spelling == wanted:
                return token_id
        return self.pieces.index(wanted) if wanted in self.pieces else None

    def __len__(self) -> int:
        return len(self.pieces)


def read_vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """Raises SettingsError for a tokenizer of another family."""
    spelled = speller_of(tokenizer)
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    pieces = [b""] * (max(vocab.values(), default=-1) + 1)
    for text, token_id in vocab.items():
        pieces[token_id] = spelled(text)
    specials: dict[int, bytes] = {}
    for token_id, added in tokenizer.get_added_tokens_decoder().items():
        pieces[token_id] = b"" if added.special else spelled(added.content)
        if added.special:
            specials[token_id] = added.content.encode()
    return Vocabulary(tuple(pieces), specials)
