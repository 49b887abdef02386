"""A trace: requests in order of time, by length and by what their prompts have in common. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple


class Piece(NamedTuple):
    """Of a prompt. Pieces of equal `content` begin with the same tokens."""

    content: int
    tokens: int  # at least 1


@dataclass(frozen=True, slots=True)
class TraceRequest:
    at: float  # seconds since the trace's beginning
    pieces: tuple[Piece, ...]
    output_tokens: int  # at least 1
    session: int | None = None  # requests of one conversation

    @property
    def input_tokens(self) -> int:
        return sum(piece.tokens for piece in self.pieces)

    def scaled(self, rate: float, length: float) -> "TraceRequest":
        """Prompts that began alike still do: a piece is cut where the tokens before it end."""
        return replace(
            self,
            at=self.at / rate,
            pieces=_scaled(self.pieces, length),
            output_tokens=max(1, round(self.output_tokens * length)),
        )


@dataclass(frozen=True, slots=True)
class Trace:
    name: str
    requests: tuple[TraceRequest, ...]

    @property
    def seconds(self) -> float:
        """Until the last request comes."""
        return self.requests[-1].at if self.requests else 0.0

    @property
    def longest(self) -> TraceRequest:
        """Prompt and answer together."""
        return max(self.requests, key=lambda one: one.input_tokens + one.output_tokens)

    def scaled(self, rate: float = 1.0, length: float = 1.0) -> "Trace":
        """`rate` times as many requests per second, `length` times as many tokens in each."""
        return replace(self, requests=tuple(one.scaled(rate, length) for one in self.requests))

    def first(self, count: int | None = None, seconds: float | None = None) -> "Trace":
        requests: Sequence[TraceRequest] = self.requests[:count]
        if seconds is not None:
            requests = [one for one in requests if one.at < seconds]
        return replace(self, requests=tuple(requests))

    def between(self, begin: float, end: float) -> "Trace":
        """What comes from `begin` on and before `end`, in seconds; `begin` becomes 0."""
        chosen = [one for one in self.requests if begin <= one.at < end]
        return replace(self, requests=tuple(replace(one, at=one.at - begin) for one in chosen))


def _scaled(pieces: Sequence[Piece], length: float) -> tuple[Piece, ...]:
    scaled: list[Piece] = []
    before, begin = 0, 0
    for piece in pieces:
        before += piece.tokens
        end = round(before * length)
        if end > begin:
            scaled.append(Piece(piece.content, end - begin))
        begin = max(begin, end)
    return tuple(scaled) or (Piece(pieces[0].content, 1),)
