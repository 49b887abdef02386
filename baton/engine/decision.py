"""What the scheduler wants done; the engine's core performs it."""

from dataclasses import dataclass

from baton.engine.plan import StepPlan
from baton.engine.work import EngineEvent


@dataclass(frozen=True, slots=True)
class ZeroBlock:
    block: int


@dataclass(frozen=True, slots=True)
class CopyBlock:
    source: int
    target: int


@dataclass(frozen=True, slots=True)
class ZeroTail:
    """Of a partial block, what lies behind its first `num_tokens` tokens."""

    block: int
    num_tokens: int


MemoryOp = ZeroBlock | CopyBlock | ZeroTail


@dataclass(frozen=True, slots=True)
class Decision:
    """Performed at once, before the scheduler is asked again, in this order: memory, events, plan.

    Blocks given up in this decision may be somebody else's already; those named here are not.
    """

    memory: tuple[MemoryOp, ...]  # in order
    events: tuple[tuple[str, EngineEvent], ...]  # (key of the work, event), in order
    plan: StepPlan  # without slices when there is nothing to compute
