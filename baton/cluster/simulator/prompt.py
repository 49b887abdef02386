"""The names of a trace's prompts, without their tokens: equal beginnings have equal names. Pure."""

import hashlib
import struct
from collections.abc import Sequence

from baton.cluster.traces import Piece
from gateway.prefixes.prompt_chain import Naming, PromptChain


class TracePrompt(PromptChain):
    """Where a prompt of tokens would hash these, this one hashes which contents they are of."""

    def __init__(self, pieces: Sequence[Piece], tenant: str, stride: int) -> None:
        super().__init__(range(sum(piece.tokens for piece in pieces)))
        self._stride_keys = _keys(pieces, tenant, stride)

    def keys(self, naming: Naming) -> list[int]:
        return self._stride_keys

    @property
    def strides(self) -> list[int]:
        return self._stride_keys


def _keys(pieces: Sequence[Piece], tenant: str, stride: int) -> list[int]:
    """Of whole strides, the last token left out, which is always computed."""
    keys: list[int] = []
    name = tenant.encode()
    whole = (sum(piece.tokens for piece in pieces) - 1) // stride
    begin, parts = 0, iter(pieces)
    piece = next(parts)
    for stride_end in range(stride, whole * stride + 1, stride):
        inside: list[tuple[int, int, int]] = []  # content, and which of its tokens
        while True:
            first, last = stride_end - stride - begin, min(piece.tokens, stride_end - begin)
            inside.append((piece.content, max(0, first), last))
            if begin + piece.tokens > stride_end:
                break
            begin += piece.tokens
            piece = next(parts)
            if begin == stride_end:
                break
        packed = b"".join(struct.pack("<qqq", *one) for one in inside)
        name = hashlib.blake2b(name + packed, digest_size=16).digest()
        keys.append(int.from_bytes(name[:8], "little"))
    return keys
