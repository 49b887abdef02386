"""One generated token as it crosses every boundary: engine, both streams, hand-off, gateway."""

from dataclasses import dataclass
from enum import Enum


class FinishReason(Enum):
    """Why a choice ended, as far as token ids can tell; text-level reasons are the gateway's."""

    STOP = "stop"  # end-of-sequence token
    LENGTH = "length"  # max_tokens or the model's length


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """`position` is the token's index in prompt + answer, so the first one stands at len(prompt).

    (choice, position) names the token: a repeat must be equal, or something is broken.
    """

    choice: int
    position: int
    token_id: int
    finish_reason: FinishReason | None = None
