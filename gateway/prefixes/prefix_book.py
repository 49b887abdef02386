"""What this gateway believes of its workers' prefix caches, and what it does when that is wrong."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from baton.core.kv_events import KvChange
from gateway.prefixes.prefix_audit import Drift, Expectation, PrefixAudit
from gateway.prefixes.prefix_index import PrefixIndex
from gateway.prefixes.prompt_chain import Naming, PromptChain

logger = logging.getLogger(__name__)

RESYNC_SECONDS = 10.0  # between two of one worker: what a snapshot does not mend, more will not
GAP, DRIFT = "gap", "drift"  # why a snapshot was asked for

Admitted = Callable[[int, int], None]  # tokens that were cached, number of the cache's last event


def nothing_expected(num_cached_tokens: int, kv_number: int) -> None:
    """An `Admitted` for whoever reads no prompt."""


class PrefixBook:
    """Workers by instance id."""

    def __init__(self, hear_anew: Callable[[str], None]) -> None:
        """`hear_anew` asks a worker for a snapshot."""
        self.index = PrefixIndex()
        self.audit = PrefixAudit(self.index, self._on_drift)
        self.resyncs = Counter({GAP: 0, DRIFT: 0})  # only grow
        self._hear_anew = hear_anew
        self._mended: dict[str, float] = {}  # when a snapshot was last asked for, for its drift

    def hear(self, worker: str, change: KvChange) -> bool:
        """False: only a snapshot helps."""
        heard = self.index.hear(worker, change)
        if not heard:
            self.resyncs[GAP] += 1
        self.audit.heard(worker)
        return heard

    def drop(self, worker: str) -> None:
        """It is gone."""
        self.index.drop(worker)
        self.audit.drop(worker)
        self._mended.pop(worker, None)

    def held(self, prompt: PromptChain, namings: Iterable[Naming]) -> dict[str, int]:
        """How many of the prompt's first tokens each worker has, in whole strides; none: not in it."""
        found = [self.index.held(prompt.keys(naming), naming.stride) for naming in namings]
        held = found[0] if found else {}
        for more in found[1:]:
            held.update(more)
        return held

    def expecting(
        self, prompt: PromptChain, worker: str, naming: Naming, held: Mapping[str, int]
    ) -> Admitted:
        """To be told what this worker, which is to read the prompt, really had of it."""
        strides = held.get(worker, 0) // naming.stride
        expected = Expectation(worker, prompt.keys(naming), naming.stride, strides)
        return partial(self.audit.admitted, expected)

    def _on_drift(self, worker: str, drift: Drift) -> None:
        now = time.monotonic()
        if now - self._mended.get(worker, -RESYNC_SECONDS) < RESYNC_SECONDS:
            return
        self._mended[worker] = now
        self.resyncs[DRIFT] += 1
        logger.warning(
            "a worker had %s of a prompt cached than was believed: asking anew", drift.value
        )
        self._hear_anew(worker)
