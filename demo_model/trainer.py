"""One training: steps over batches, on threads of their own, resumable between any two steps."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from demo_model.batches import Batch, step_batches
from demo_model.encode import Encoder
from demo_model.network import Network
from demo_model.optimizer import Optimizers, Rates
from demo_model.shape import Shape


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that the weights depend on, beside this code."""

    shape: Shape = field(default_factory=Shape)
    rates: Rates = field(default_factory=Rates)
    seed: int = 4
    step_tokens: int = 10_000
    batch_tokens: int = 1_800  # of each thread at a time


class Trainer:
    """`forward` is the network or what a compiler made of it. Batches are made one step ahead.

    A thread computes a batch's gradients alone; they are added in the order of the batches, so
    that the sum does not depend on who was first.
    """

    def __init__(
        self,
        recipe: Recipe,
        encoder: Encoder,
        threads: int = 2,
        compiled: bool = False,
    ) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        self.network = Network(recipe.shape)
        self._optimizers = Optimizers(self.network, recipe.rates)
        self._forward: Callable[[Tensor], Tensor] = self.network
        if compiled:
            self._forward = torch.compile(self.network, dynamic=True)
        self._parameters = list(self.network.parameters())
        self.encoder = encoder
        self._compute = ThreadPoolExecutor(
            threads, initializer=torch.set_num_threads, initargs=(1,)
        )
        self._ahead = ThreadPoolExecutor(1)
        self._next: Future[list[Batch]] | None = None
        self._compiled = False
        self.done = 0  # steps

    def close(self) -> None:
        self._compute.shutdown(cancel_futures=True)
        self._ahead.shutdown(cancel_futures=True)

    def step(self) -> tuple[float, int]:
        """Mean loss of a taught token before the step, and how many tokens were read."""
        batches = self._batches()
        taught = sum(len(batch.targets) for batch in batches)
        read = sum(batch.ids.numel() for batch in batches)
        results = []
        if not self._compiled:  # one batch alone: a compiler is not called by two at once
            results.append(self._gradients(batches.pop(0), taught))
            self._compiled = True
        results += self._compute.map(lambda batch: self._gradients(batch, taught), batches)
        for index, parameter in enumerate(self._parameters):
            parameter.grad = sum_of([gradients[index] for _, gradients in results])
        self._optimizers.step(self.done, self._compute)
        self.done += 1
        return sum(loss for loss, _ in results), read

    def _batches(self) -> list[Batch]:
        batches = self._next.result() if self._next else self._made(self.done)
        self._next = self._ahead.submit(self._made, self.done + 1)
        return batches

    def _made(self, step: int) -> list[Batch]:
        recipe = self.recipe
        return step_batches(
            self.encoder, recipe.seed, step, recipe.step_tokens, recipe.batch_tokens
        )

    def _gradients(self, batch: Batch, taught: int) -> tuple[float, Sequence[Tensor]]:
        """This batch's part of the step's mean loss, and of its gradients."""
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self._forward(batch.ids).flatten(0, 1)[batch.where]
            logits = self.network.logits(hidden)
        loss = functional.cross_entropy(logits.float(), batch.targets, reduction="sum") / taught
        return loss.item(), torch.autograd.grad(loss, self._parameters)

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        state = {
            "done": self.done,
            "network": self.network.state_dict(),
            "optimizers": self._optimizers.state_dict(),
        }
        draft = path.with_suffix(".partial")
        torch.save(state, draft)
        draft.replace(path)

    def resume(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.done = state["done"]
        self.network.load_state_dict(state["network"])
        self._optimizers.load_state_dict(state["optimizers"])


def sum_of(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
