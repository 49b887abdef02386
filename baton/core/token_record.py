"""One generated token as it crosses every boundary: engine, both streams, hand-off, gateway."""

from dataclasses import dataclass
from enum import Enum


class FinishReason(Enum):
    """Why a choice ended, as far as token ids can tell; text-level reasons are the gateway's."""

    STOP = "stop"  # an end-of-sequence token or one of `stop_token_ids`
    LENGTH = "length"  # max_tokens or the model's length


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Of one position: the token that stands there, and the best ones that could have.

    Values may be -inf. `rank` of the token is 1 for the best.
    """

    logprob: float
    rank: int
    top: tuple[tuple[int, float], ...] = ()  # (token id, log-probability), best first


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """`position` is the token's index in prompt + answer, so the first one stands at len(prompt).

    (choice, position) names the token: a repeat must be equal, or something is broken.
    """

    choice: int
    position: int
    token_id: int
    finish_reason: FinishReason | None = None
    logprobs: TokenLogprobs | None = None  # if they were asked for


@dataclass(frozen=True, slots=True)
class PromptLogprobs:
    """Of the prompt's tokens from position `start` (at least 1: the first has nothing before it)."""

    start: int
    entries: tuple[TokenLogprobs, ...]
