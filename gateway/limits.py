"""How long a prompt may be, and which token ids there are."""

from collections.abc import Sequence
from dataclasses import dataclass

from baton.core.errors import RequestError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the model as its workers serve it."""

    max_model_len: int  # prompt + answer, tokens
    vocab_size: int


def check_length(tokens: int, limits: Limits, param: str, exact: bool = True) -> None:
    """For a prompt of so many tokens, or of so many at least."""
    if tokens < limits.max_model_len:
        return
    count = str(tokens) if exact else f"at least {tokens}"
    raise RequestError(
        f"This model's maximum context length is {limits.max_model_len} tokens, "
        f"but the prompt has {count} and needs room for an answer.",
        param,
    )


def check_ids(ids: Sequence[int], vocab_size: int, param: str) -> None:
    """For ids that are not negative."""
    largest = max(ids, default=0)
    if largest >= vocab_size:
        raise RequestError(
            f"token id {largest} is not below the vocabulary's size, {vocab_size}", param
        )
