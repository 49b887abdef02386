"""The bytes that each token id stands for, read from a tokenizer once.

Two families cover the models served: byte-level BPE (GPT-2, Llama 3, Qwen), whose pieces spell
bytes as printable characters, and SentencePiece with byte fallback (Llama 2, Mistral, Gemma),
whose pieces are text, with <0xNN> for single bytes. The text of an answer is the UTF-8 decoding
of its tokens' bytes, so it can be written token by token without ever being taken back.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tokenizers import Tokenizer

from baton.core.errors import SettingsError

SPACE_MARK = "\u2581"  # SentencePiece's visible space
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


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
    spelled = _speller(json.loads(tokenizer.to_str())["decoder"])
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


def _speller(decoder: dict[str, object] | None) -> Callable[[str], bytes]:
    kinds = _kinds(decoder)
    if kinds == {"ByteLevel"}:
        return _byte_level
    if "ByteFallback" in kinds and kinds <= {"Replace", "ByteFallback", "Fuse", "Strip"}:
        return _byte_fallback
    raise SettingsError(
        f"the tokenizer's decoder is {', '.join(sorted(kinds)) or 'missing'}; "
        "byte-level BPE and byte-fallback tokenizers are supported"
    )


def _kinds(decoder: dict[str, object] | None) -> set[str]:
    if decoder is None:
        return set()
    parts = decoder.get("decoders")
    if isinstance(parts, list):
        return {kind for part in parts for kind in _kinds(part)}
    return {str(decoder["type"])}


def _byte_level(piece: str) -> bytes:
    """A piece with a character outside the alphabet is plain text, such as an added token."""
    codes = [_BYTE_OF_CHARACTER.get(character) for character in piece]
    known = [code for code in codes if code is not None]
    return bytes(known) if len(known) == len(codes) else piece.encode()


def _byte_fallback(piece: str) -> bytes:
    byte = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE_MARK, " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """Printable Latin-1 stands for itself; the other bytes take the characters from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF_CHARACTER = _byte_alphabet()
