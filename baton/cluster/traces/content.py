"""The tokens of a trace's prompts. A trace has only lengths and what is equal; the rest is drawn."""

import random
from collections.abc import Sequence
from functools import lru_cache

from baton.cluster.traces.trace import Piece

KEPT = 4096  # pieces; popular beginnings are drawn once


class Content:
    """Equal seeds give equal tokens, and equal pieces give them everywhere."""

    def __init__(self, vocabulary: Sequence[int], seed: int) -> None:
        """`vocabulary`: token ids that prompts may hold."""
        self._vocabulary = vocabulary
        self._seed = seed
        self._tokens = lru_cache(KEPT)(self._drawn)

    def prompt(self, pieces: Sequence[Piece]) -> list[int]:
        return [token for piece in pieces for token in self._tokens(piece)]

    def _drawn(self, piece: Piece) -> Sequence[int]:
        draw = random.Random(f"{self._seed}/{piece.content}")  # one draw per token, from the first
        return draw.choices(self._vocabulary, k=piece.tokens)
