"""Whether what the index of prefixes says is what requests find. Pure."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.prefixes.prefix_index import PrefixIndex

MOST_OPEN = 1024  # admissions of one worker that wait for its events; beyond them none is judged


class Drift(Enum):
    """By a stride or more, and no event on its way explains it."""

    LESS = "less"  # was cached than believed
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What whoever reads a prompt was believed to have of it when the prompt was placed."""

    worker: str  # instance id
    keys: Sequence[int]  # of the prompt's strides
    stride: int  # tokens
    strides: int  # of them believed cached

    @property
    def tokens(self) -> int:
        return self.strides * self.stride


@dataclass(frozen=True, slots=True)
class _Admission:
    """What it had."""

    expected: Expectation
    cached_tokens: int
    kv_number: int  # of the latest event of its cache by then


class PrefixAudit:
    """An admission is judged as soon as all events before it were heard. Between the placement and
    that moment the cache may have changed, so what is right lies between what was believed at the
    two.
    """

    def __init__(self, index: PrefixIndex, drifted: Callable[[str, Drift], None]) -> None:
        """`drifted` is called with the instance id."""
        self._index = index
        self._drifted = drifted
        self._open: dict[str, list[_Admission]] = {}
        self.predicted_tokens = 0  # of all admissions; these only grow
        self.cached_tokens = 0
        self.drifts: Counter[Drift] = Counter()

    def admitted(self, expected: Expectation, cached_tokens: int, kv_number: int) -> None:
        self.predicted_tokens += expected.tokens
        self.cached_tokens += cached_tokens
        admission = _Admission(expected, cached_tokens, kv_number)
        number = self._index.number(expected.worker)
        if number is None:
            return
        if number >= kv_number:
            self._judge(admission)
            return
        waiting = self._open.setdefault(expected.worker, [])
        if len(waiting) < MOST_OPEN:
            waiting.append(admission)

    def heard(self, worker: str) -> None:
        """The index has heard of this worker."""
        if (waiting := self._open.get(worker)) is None:
            return
        number = self._index.number(worker)
        if number is None:
            return
        self._open[worker] = [one for one in waiting if one.kv_number > number]
        if not self._open[worker]:
            del self._open[worker]
        for admission in waiting:
            if admission.kv_number <= number:
                self._judge(admission)

    def drop(self, worker: str) -> None:
        self._open.pop(worker, None)

    def _judge(self, admission: _Admission) -> None:
        expected = admission.expected
        now = self._index.held_by(expected.worker, expected.keys)
        least = min(now, expected.strides) * expected.stride
        most = max(now, expected.strides) * expected.stride
        if admission.cached_tokens <= least - expected.stride:
            drift = Drift.LESS
        elif admission.cached_tokens >= most + expected.stride:
            drift = Drift.MORE
        else:
            return
        self.drifts[drift] += 1
        self._drifted(expected.worker, drift)
