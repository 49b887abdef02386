"""How a tokenizer's pieces spell bytes."""

import json
import re
from collections.abc import Callable

from tokenizers import Tokenizer

from baton.core.errors import SettingsError

SPACE_MARK = "\u2581"  # SentencePiece's visible space
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def speller_of(tokenizer: Tokenizer) -> Callable[[str], bytes]:
    """Of a piece of the vocabulary its bytes. Raises SettingsError for a family that is neither
    byte-level BPE nor SentencePiece with byte fallback.
    """
    return _speller(json.loads(tokenizer.to_str())["decoder"])


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
