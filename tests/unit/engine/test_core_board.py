"""Who may use whose cores, and when."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from baton.engine.machine.core_board import (
    CALM,
    LONGEST_STEP,
    CoreBoard,
    OwnCores,
    Slot,
    cores_for,
    share_of,
    shared_page,
)

NOBODY = Slot(0, False, 0.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path() -> Iterator[str]:
    with shared_page() as path:
        yield path


@pytest.fixture
def clock() -> Clock:
    return Clock()


def computing(threads: int, said: float = 99.9) -> Slot:
    return Slot(threads, True, said)


def resting(threads: int) -> Slot:
    return Slot(threads, False, 0.0)


def test_a_worker_that_is_alone_takes_all_cores() -> None:
    assert share_of([computing(1), resting(1), resting(2), NOBODY], 0, 100.0) == 4


def test_where_all_compute_each_has_its_own() -> None:
    slots = [computing(1), computing(1), computing(2)]
    assert [share_of(slots, i, 100.0) for i in range(3)] == [1, 1, 2]


@pytest.mark.parametrize("idle", [1, 2, 3, 5])
def test_what_is_lent_is_lent_once(idle: int) -> None:
    slots = [computing(1), resting(idle), computing(1), computing(2)]
    assert sum(share_of(slots, i, 100.0) for i in (0, 2, 3)) == 4 + idle


def test_a_worker_that_died_in_a_step_lends_its_cores_in_the_end() -> None:
    slots = [computing(1), computing(1, said=100.0)]
    assert share_of(slots, 0, 100.0 + LONGEST_STEP / 2) == 1
    assert share_of(slots, 0, 100.0 + LONGEST_STEP) == 2


def test_cores_are_lent_while_their_owner_rests(path: str, clock: Clock) -> None:
    ours, others = CoreBoard(path, 0, 1, clock), CoreBoard(path, 3, 1, clock)
    assert ours.begin(1) == 2
    assert others.begin(1) == 1  # we may be between two steps
    assert ours.begin(1) == 1
    others.rest()
    assert ours.begin(1) == 2
    ours.rest()
    assert others.begin(1) == 2


def test_nothing_is_lent_for_a_while_after_two_were_at_work_side_by_side(
    path: str, clock: Clock
) -> None:
    ours, others = CoreBoard(path, 0, 1, clock), CoreBoard(path, 1, 1, clock)
    others.begin(1)
    for _ in range(2):
        ours.begin(1)
    others.rest()
    assert ours.begin(1) == 1
    ours.rest()
    assert others.begin(1) == 1
    clock.now += CALM
    assert others.begin(1) == 2


def test_nothing_is_lent_to_a_step_of_several_sequences(path: str, clock: Clock) -> None:
    ours, _ = CoreBoard(path, 0, 1, clock), CoreBoard(path, 1, 1, clock)
    assert ours.begin(2) == 1
    assert ours.begin(1) == 2


def test_a_step_that_begins_while_the_others_last_one_ends_disturbs_nobody(
    path: str, clock: Clock
) -> None:
    ours, others = CoreBoard(path, 0, 1, clock), CoreBoard(path, 1, 1, clock)
    for _ in range(2):
        others.begin(1)
        ours.begin(1)
        others.rest()
        assert ours.begin(1) == 2
        ours.rest()


def test_whoever_comes_again_takes_its_place_over(path: str, clock: Clock) -> None:
    ours, died = CoreBoard(path, 0, 1, clock), CoreBoard(path, 1, 2, clock)
    died.begin(1)
    assert ours.begin(1) == 1
    CoreBoard(path, 1, 2, clock)
    assert ours.begin(1) == 3


def test_a_page_is_gone_with_those_who_know_it() -> None:
    with shared_page() as path:
        assert CoreBoard(path, 0, 3).begin(1) == 3
    assert not os.path.exists(path)


def test_without_a_board_nothing_is_lent() -> None:
    assert cores_for(3, "", 0) == OwnCores(3)
    assert OwnCores(3).begin(1) == 3


def test_a_board_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--core-board .*none cannot be opened: No such file"):
        cores_for(1, str(tmp_path / "none"), 0)
    (tmp_path / "short").write_bytes(b"")
    with pytest.raises(SettingsError, match="is no file of one page"):
        cores_for(1, str(tmp_path / "short"), 0)
