"""Muon for the matrices, AdamW for the embedding and the norms, one schedule for both."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from demo_model.network import Network

# (step, share of the highest rate), joined by straight lines: up, and down to nearly nothing. The
# slope changes where the losses of the training that made the shipped weights asked for it.
TURNS = (
    (0, 1 / 60),
    (59, 1.0),
    (60, 1.0),
    (500, 0.71714),
    (1150, 0.49826),
    (1600, 0.3072),
    (2550, 0.06169),
    (2950, 0.01),
)


@dataclass(frozen=True, slots=True)
class Rates:
    matrices: float = 0.02  # Muon's, per step, at its highest
    rest: float = 0.004
    turns: tuple[tuple[int, float], ...] = TURNS

    @property
    def steps(self) -> int:
        """Of the whole training, after which nothing is learnt any more."""
        return self.turns[-1][0]


class Optimizers:
    """Several, of some of the weights each, so that they can be run side by side."""

    def __init__(self, network: Network, rates: Rates) -> None:
        named = list(network.named_parameters())
        matrices = [p for name, p in named if _is_matrix(name, p)]
        rest = [p for name, p in named if not _is_matrix(name, p)]
        self._rates = rates
        muons = [
            torch.optim.Muon(part, lr=rates.matrices, weight_decay=0.0)
            for part in (matrices[::2], matrices[1::2])
        ]
        adam = torch.optim.AdamW(rest, lr=rates.rest, betas=(0.9, 0.98), weight_decay=0.0)
        self._all: list[tuple[torch.optim.Optimizer, float]] = [
            *((muon, rates.matrices) for muon in muons),
            (adam, rates.rest),
        ]

    def step(self, number: int, pool: Executor) -> None:
        """The `number`-th, from 0, along the gradients that are there."""
        share = rate(number, self._rates.turns)
        for optimizer, highest in self._all:
            for group in optimizer.param_groups:
                group["lr"] = highest * share
        for done in [pool.submit(optimizer.step) for optimizer, _ in self._all]:
            done.result()

    def state_dict(self) -> dict[str, Any]:
        return {"all": [optimizer.state_dict() for optimizer, _ in self._all]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for (optimizer, _), its in zip(self._all, state["all"], strict=True):
            optimizer.load_state_dict(its)


def rate(step: int, turns: Sequence[tuple[int, float]]) -> float:
    """Share of the highest rate."""
    for (first, here), (last, there) in pairwise(turns):
        if step <= last:
            return here + (there - here) * (step - first) / (last - first)
    return turns[-1][1]


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.dim() == 2 and "embed" not in name
