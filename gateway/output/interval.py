"""Fewer and larger chunks of a stream."""

from gateway.output.delta import Delta


class Interval:
    """Gathers `tokens` per choice before it lets a delta pass. The first token and the last delta
    of a choice pass at once.
    """

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._waiting: dict[int, Delta] = {}  # by choice
        self._begun: set[int] = set()

    def push(self, deltas: list[Delta]) -> list[Delta]:
        if self._tokens == 1:
            return deltas
        return [passed for delta in deltas if (passed := self._gathered(delta)) is not None]

    def _gathered(self, delta: Delta) -> Delta | None:
        choice = delta.choice
        waiting = self._waiting.pop(choice, None)
        if waiting is not None:
            delta = waiting + delta
        first = choice not in self._begun
        if not (first or delta.finish_reason) and delta.num_tokens < self._tokens:
            self._waiting[choice] = delta
            return None
        self._begun.add(choice)
        return delta
