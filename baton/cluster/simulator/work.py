"""One request as a modelled worker has it."""

import asyncio
from dataclasses import dataclass, field

from baton.cluster.outcomes import Gaps
from baton.cluster.simulator.kv_cache import Holding


@dataclass(slots=True, eq=False)
class Reading:
    """A prompt, or what is left of it."""

    rank: tuple[int, int]  # priority and number: the least is read first
    tokens: int  # of the prompt
    at: int  # tokens that are there: cached at first, then more and more
    holding: Holding
    done: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def left(self) -> int:
        return self.tokens - self.at


@dataclass(slots=True, eq=False)
class Writing:
    """An answer behind its first token."""

    rank: tuple[int, int]
    context: int  # tokens that it attends to
    left: int  # tokens
    last: float  # when the token before came
    gaps: Gaps
    done: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
