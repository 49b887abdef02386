"""The seam between the model runner and a way to compute attention."""

from typing import Protocol

from torch import Tensor

from baton.engine.plan import StepPlan


class AttentionStep(Protocol):
    """One step's metadata, bound to the pool. Used once, layer after layer, in order."""

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float
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
