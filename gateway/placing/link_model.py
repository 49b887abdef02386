"""What is waited for until a hand-off's last bytes are there, behind prefill's last token. Pure."""

from collections import OrderedDict
from dataclasses import dataclass

from gateway.placing.fit import Fit

EXPOSED = (2e-3, 1e-10)  # seconds: of a hand-off, per byte that it moves (10 GB/s)
MOST_LINKS = 4096  # pairs of workers that are known apart; of others, what is true of all


@dataclass(frozen=True, slots=True)
class Link:
    """Seconds. Most of a long prompt moves while prefill computes; what is left is exposed."""

    latency: float
    per_byte: float

    def exposed(self, num_bytes: float) -> float:
        return self.latency + self.per_byte * num_bytes


UNKNOWN_LINK = Link(*EXPOSED)


class LinkModels:
    """By the instance ids of prefill and decode worker, and one for all together."""

    def __init__(self) -> None:
        self._any = Fit(EXPOSED)
        self._pairs: OrderedDict[tuple[str, str], Fit] = OrderedDict()

    def add(self, prefill: str, decode: str, num_bytes: float, exposed: float) -> None:
        self._any.add((1.0, num_bytes), exposed)
        fit = self._pairs.setdefault((prefill, decode), Fit(self._any.shape))
        self._pairs.move_to_end((prefill, decode))
        fit.add((1.0, num_bytes), exposed)
        if len(self._pairs) > MOST_LINKS:
            self._pairs.popitem(last=False)

    @property
    def any(self) -> Link:
        """Of two workers of which no more is known."""
        return Link(*self._any.theta)

    def between(self, prefill: str, decode: str) -> Link | None:
        """None: no more is known of these two than of `any`."""
        fit = self._pairs.get((prefill, decode))
        return None if fit is None else Link(*fit.theta)

    def drop(self, worker: str) -> None:
        """It is gone."""
        for pair in [pair for pair in self._pairs if worker in pair]:
            del self._pairs[pair]
