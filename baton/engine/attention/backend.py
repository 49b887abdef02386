"""The seam between the model runner and a way to compute attention."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from baton.engine.plan import StepPlan


@dataclass(frozen=True, slots=True)
class AttentionRule:
    """How one layer attends, as its model says; the same for all rows of a step."""

    scaling: float  # of the scores, before the soft cap
    window: int | None = None  # positions that a row sees, itself included; None: all before it
    softcap: float | None = None  # scores become softcap * tanh(score / softcap)


class AttentionStep(Protocol):
    """One step's metadata, bound to the pool. Used layer after layer, in order.

    A model that cannot say its logits in parts runs again in the same step, and finds the same.
    """

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        """Writes the step's K and V into the pool, then attends causally; the result is as `query`.

        Rows are the tokens of all slices of the plan, one slice after the other. `query` is
        [tokens, heads, head_dim], `key` and `value` are [tokens, kv_heads, head_dim].
        """
        ...


class AttentionBackend(Protocol):
    """Knows the pool. What a row attends to is its own sequence, whoever else is in the plan."""

    def prepare(self, plan: StepPlan) -> AttentionStep:
        """Whatever is the same for all layers is computed here, once per step."""
        ...


class DecodeStep(AttentionStep, Protocol):
    """A step of one row of each sequence whose metadata lies where it has always lain: a CUDA graph
    that has captured `forward` computes the step that `renew` was told last.
    """

    def renew(self, plan: StepPlan) -> None:
        """As many slices of one row as it was made for. Waits for nothing."""
        ...


@runtime_checkable
class GraphableBackend(AttentionBackend, Protocol):
    def decode_step(self, rows: int, context: int) -> DecodeStep:
        """For `rows` sequences of up to `context` tokens each."""
        ...
