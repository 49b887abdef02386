"""The smallest cluster that holds: found, not passed over, and with few tries."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from baton.cluster.planner.search import Search
from baton.cluster.planner.size import Size
from baton.cluster.planner.verdict import Verdict

HOLDS = Verdict(0.99, 1.0, 0.0, 0.0, 0.0, 0.1, 0.01)
MISSES = replace(HOLDS, good=0.5, late_first=0.5)


def search(needed: list[Size], most: int) -> Search:
    """Of a cluster that holds where it is as large as any of these."""

    def measure(size: Size) -> Verdict:
        return HOLDS if any(one.within(size) for one in needed) else MISSES

    return Search(measure, most)


SIZES = st.builds(Size, st.integers(0, 20), st.integers(1, 20))


@given(st.lists(SIZES, min_size=1, max_size=4))
def test_no_smaller_cluster_holds(needed: list[Size]) -> None:
    looking = search(needed, 40)
    best = looking.smallest()
    assert best is not None
    assert best.workers == min(one.workers for one in needed) or best == Size(1, 1)
    assert any(one.within(best) for one in needed)


@given(st.lists(SIZES, min_size=1, max_size=4), st.integers(2, 12))
def test_nothing_larger_than_allowed_is_chosen_and_nothing_tried_twice(
    needed: list[Size], most: int
) -> None:
    looking = search(needed, most)
    best = looking.smallest()
    sizes = [one.size for one in looking.tried]
    assert len(sizes) == len(set(sizes))
    assert all(size.workers < 2 * most and size.decode >= 1 for size in sizes)
    assert best is None or best.workers <= most


def test_a_large_cluster_is_found_in_few_tries() -> None:
    looking = search([Size(40, 60)], 256)
    assert looking.smallest() == Size(40, 60)
    assert len(looking.tried) < 40
