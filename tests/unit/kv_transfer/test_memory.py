"""Block lists as byte runs."""

from collections.abc import Iterable

import pytest

from kv_transfer.memory import Run, batches, runs_of

pytestmark = pytest.mark.unit


def test_neighbours_on_both_sides_become_one_run() -> None:
    assert runs_of([4, 5, 6], [1, 2, 3], 100) == [Run(400, 100, 300)]


def test_a_gap_on_either_side_starts_a_new_run() -> None:
    assert runs_of([4, 5, 7, 8], [1, 3, 4, 5], 10) == [
        Run(40, 10, 10),
        Run(50, 30, 10),
        Run(70, 40, 20),
    ]


def test_lists_of_unequal_length_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        runs_of([1, 2], [3], 10)


def test_batches_cut_long_runs_and_keep_every_byte_in_order() -> None:
    runs = [Run(0, 1000, 25), Run(50, 2000, 5), Run(90, 3000, 11)]
    cut = list(batches(runs, 10))
    assert all(sum(run.length for run in batch) == 10 for batch in cut[:-1])
    assert pairs(run for batch in cut for run in batch) == pairs(runs)


def pairs(runs: Iterable[Run]) -> list[tuple[int, int]]:
    return [(run.source + i, run.target + i) for run in runs for i in range(run.length)]
