"""Looks for the smallest cluster that holds its objectives. Pure but for what measures one.

It is taken for granted that more workers of either role do no harm: what a larger cluster misses is not
tried with a smaller one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from baton.cluster.planner.size import Size
from baton.cluster.planner.verdict import Verdict

Measure = Callable[[Size], Verdict]


@dataclass(frozen=True, slots=True)
class Tried:
    size: Size
    verdict: Verdict


class Search:
    """`tried` grows in the order of trying."""

    def __init__(self, measure: Measure, most: int) -> None:
        """`most` workers, of both roles together, at least 2."""
        self.tried: list[Tried] = []
        self._measure = measure
        self._most = most

    def smallest(self) -> Size | None:
        """The fewest workers that hold; None: not even `most` do."""
        best = self._one_that_holds()
        if best is None:
            return None
        # What each role needs at least, were there any number of the other. (More are tried than
        # there may be, so that what they miss need not be tried with fewer.)
        plenty = best.workers - 1
        decode = self._fewest(1, best.decode, lambda count: Size(plenty, count))
        prefill = self._fewest(0, best.prefill, lambda count: Size(count, plenty))
        while prefill + decode < best.workers:
            more = best.workers - 1 - decode
            if self._holds(Size(more, decode)):
                count = self._fewest(prefill, more, partial(Size, decode=decode))
                best = Size(count, decode)
            decode += 1
        return best

    def _one_that_holds(self) -> Size | None:
        """By doubling, at last as large as it may be, cut in the middle and then at other places."""
        each = 1
        while 2 * each <= self._most:
            if self._holds(Size(each, each)):
                return Size(each, each)
            each *= 2
        shares = (0.5, 0.25, 0.75, 0.0)
        for prefill in dict.fromkeys(int(share * self._most) for share in shares):
            size = Size(prefill, self._most - prefill)
            if self._holds(size):
                return size
        return None

    def _fewest(self, low: int, high: int, size_of: Callable[[int], Size]) -> int:
        """By halving; `high` is known to hold."""
        while low < high:
            middle = (low + high) // 2
            if self._holds(size_of(middle)):
                high = middle
            else:
                low = middle + 1
        return high

    def _holds(self, size: Size) -> bool:
        for one in self.tried:
            if one.size == size:
                return one.verdict.holds
            if not one.verdict.holds and size.within(one.size):
                return False
        verdict = self._measure(size)
        self.tried.append(Tried(size, verdict))
        return verdict.holds
