"""Which tokens a sequence holds, and how often its answer does: what penalties ask for."""

from collections.abc import Sequence

import torch
from torch import Tensor

from baton.engine.plan import Draw

_ROOM = 256  # distinct tokens, at first


class TokenCounts:
    """Follows a list that only grows; takes in what is new of it, and forgets nothing."""

    def __init__(self, tokens: Sequence[int], num_prompt: int) -> None:
        self.tokens = tokens
        self.num_prompt = num_prompt
        self._places: dict[int, int] = {}  # token -> where in the two tensors
        self._ids = torch.empty(_ROOM, dtype=torch.int64)
        self._counts = torch.zeros(_ROOM)
        self._seen = 0  # of `tokens`

    def take_in(self, length: int) -> None:
        """Of the first `length` tokens those that are new."""
        start, self._seen = self._seen, length
        prompt = self.tokens[start : min(length, self.num_prompt)]
        answer = self.tokens[max(start, self.num_prompt) : length]
        self._add(dict.fromkeys((*prompt, *answer)))
        for token in answer:
            self._counts[self._places[token]] += 1.0

    @property
    def num_seen(self) -> int:
        return self._seen

    @property
    def ids(self) -> Tensor:
        """int64: the distinct tokens of prompt and answer."""
        return self._ids[: len(self._places)]

    @property
    def in_answer(self) -> Tensor:
        """float32: how often each of `ids` stands in the answer."""
        return self._counts[: len(self._places)]

    def _add(self, tokens: dict[int, None]) -> None:
        new = [token for token in tokens if token not in self._places]
        start, end = len(self._places), len(self._places) + len(new)
        if end > len(self._ids):
            room = max(end, 2 * len(self._ids)) - len(self._ids)
            self._ids = torch.cat((self._ids, self._ids.new_empty(room)))
            self._counts = torch.cat((self._counts, self._counts.new_zeros(room)))
        self._ids[start:end] = torch.tensor(new, dtype=torch.int64)
        self._places.update(zip(new, range(start, end), strict=True))


class CountsKeeper:
    """Keeps the counts of those who were in the last step: what is lost is counted again."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], TokenCounts] = {}

    def of(self, draws: Sequence[Draw]) -> list[TokenCounts]:
        """Of each draw's known tokens. Those of others are forgotten."""
        now = {(draw.key, draw.choice): self._current(draw) for draw in draws}
        self._kept = now
        return [now[draw.key, draw.choice] for draw in draws]

    def _current(self, draw: Draw) -> TokenCounts:
        """The list itself is compared: only one that has grown since continues what was counted."""
        counts = self._kept.get((draw.key, draw.choice))
        length = len(draw.tokens)
        if counts is None or counts.tokens is not draw.tokens or counts.num_seen > length:
            counts = TokenCounts(draw.tokens, draw.num_prompt)
        counts.take_in(length)
        return counts
