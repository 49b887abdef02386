"""The bytes that each token id stands for, read from a tokenizer once.

Two families cover the models served: byte-level BPE (GPT-2, Llama 3, Qwen), whose pieces spell
bytes as printable characters, and SentencePiece with byte fallback (Llama 2, Mistral, Gemma),
whose pieces are text, with <0xNN> for single bytes. The text of an answer is the UTF-8 decoding
of its tokens' bytes, so it can be written token by token without ever being taken back.
"""

from dataclasses import dataclass

from tokenizers import Tokenizer

from baton.grammars.spelling import speller_of


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`pieces[id]`: bytes of the token, empty for special tokens and for unused ids."""

    pieces: tuple[bytes, ...]

    def bytes_of(self, token_id: int) -> bytes:
        return self.pieces[token_id] if token_id < len(self.pieces) else b""

    def __len__(self) -> int:
        return len(self.pieces)


def read_vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """Raises SettingsError for a tokenizer of another family."""
    spelled = speller_of(tokenizer)
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    pieces = [b""] * (max(vocab.values(), default=-1) + 1)
    for text, token_id in vocab.items():
        pieces[token_id] = spelled(text)
    for token_id, added in tokenizer.get_added_tokens_decoder().items():
        pieces[token_id] = b"" if added.special else spelled(added.content)
    return Vocabulary(tuple(pieces))
