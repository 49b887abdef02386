"""Logits processors as an operator may have them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def only_twice_the_last(answer: list[int], logits: Tensor) -> Tensor:
    """Doubles and changes what it is given, as many do."""
    wanted = (2 * answer[-1] if answer else 0) % len(logits)
    logits[:] = -torch.inf
    logits[wanted] = 0.0
    return logits


def only_the_prompts_first(prompt: list[int], answer: list[int], logits: Tensor) -> Tensor:
    return torch.full_like(logits, -torch.inf).index_fill(0, torch.tensor(prompt[:1]), 0.0)


def only(token: int, *, but: int | None = None) -> Callable[[list[int], Tensor], Tensor]:
    def process(answer: list[int], logits: Tensor) -> Tensor:
        kept = token if but is None else but
        return torch.full_like(logits, -torch.inf).index_fill(0, torch.tensor([kept]), 0.0)

    return process


def breaks(answer: list[int], logits: Tensor) -> Tensor:
    raise KeyError("oh")


def returns_no_number(answer: list[int], logits: Tensor) -> Tensor:
    return logits * torch.nan


class Favours:
    """Loaded by the server; requests say `{"favours": token}`."""

    def wants(self, extra_args: Mapping[str, Any]) -> bool:
        if "favours" in extra_args and not isinstance(extra_args["favours"], int):
            raise ValueError("favours must be a token id")
        return "favours" in extra_args

    def apply(
        self,
        logits: Tensor,
        prompt: Sequence[int],
        answer: Sequence[int],
        extra_args: Mapping[str, Any],
    ) -> Tensor:
        logits[extra_args["favours"]] += 1000.0
        return logits
