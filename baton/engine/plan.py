"""One step: what the scheduler decided and the runner computes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from baton.core.fingerprint import Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.core.sampling_params import SamplingParams

if TYPE_CHECKING:
    from baton.engine.kv_pool import KvPool


@dataclass(frozen=True, slots=True)
class Draw:
    """One token to draw from the logits of a slice's last position."""

    choice: int
    position: int  # of the token to be drawn
    params: SamplingParams


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive positions of one sequence.

    The runner writes KV of `tokens` at positions `start ...` into `blocks` (the sequence's whole
    table: position p lies in blocks[p // block_size]) and attends to everything before.
    """

    tokens: tuple[int, ...]
    start: int
    blocks: tuple[int, ...]
    draws: tuple[Draw, ...]  # empty unless the slice reaches the end of the known tokens


@dataclass(frozen=True, slots=True)
class StepPlan:
    slices: tuple[Slice, ...]

    @property
    def num_tokens(self) -> int:
        return sum(len(s.tokens) for s in self.slices)


class Runner(Protocol):
    """A model on a device. Called by one thread only: `attach` once, then `run` step by step."""

    @property
    def layout(self) -> LayoutDescriptor: ...

    @property
    def fingerprint(self) -> Fingerprint: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos_token_ids(self) -> frozenset[int]: ...

    @property
    def max_model_len(self) -> int:
        """Of the model; the pool may hold less."""
        ...

    def attach(self, pool: "KvPool") -> None:
        """Gives the runner the memory that block ids mean. Called before the first `run`."""
        ...

    def run(self, plan: StepPlan) -> Sequence[tuple[int, ...] | None]:
        """Token ids drawn, for each slice of the plan one per draw, in order.

        None in place of a slice's ids: its logits are not numbers, so there is nothing to draw.
        """
        ...
