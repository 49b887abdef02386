"""How long a worker waits before it joins again."""

import pytest

from baton.registry.membership import delay_after


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 0.1), (2, 0.2), (3, 0.4), (6, 2.0), (10_000, 2.0)]
)
def test_the_delay_doubles_up_to_its_bound(failures: int, longest: float) -> None:
    assert delay_after(failures, 1.0) == pytest.approx(longest)


def test_jitter_takes_at_most_half_of_the_delay() -> None:
    assert delay_after(1, 0.0) == pytest.approx(0.05)
