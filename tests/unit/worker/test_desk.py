"""A worker takes what it has room for, says no at once otherwise, and forgets nothing."""

import pytest

from baton.core.errors import RefusedError, RequestError
from baton.core.worker_info import Role, WorkerState
from baton.worker.desk import Desk


def test_requests_beyond_the_bound_are_refused_until_one_ends() -> None:
    desk = Desk(Role.DECODE, max_choices=2)
    with desk.take(Role.DECODE, "a", 0, 1):
        with desk.take(Role.DECODE, "b", 0, 1), pytest.raises(RefusedError, match="2 answers"):
            desk.take(Role.DECODE, "c", 0, 1).__enter__()
        with desk.take(Role.DECODE, "c", 0, 1):
            assert desk.requests == 2
    assert desk.requests == 0


def test_a_request_wider_than_the_bound_is_taken_alone() -> None:
    desk = Desk(Role.DECODE, max_choices=2)
    with desk.take(Role.DECODE, "a", 0, 5):
        assert desk.requests == 1
    with desk.take(Role.DECODE, "b", 0, 1), pytest.raises(RefusedError):
        desk.take(Role.DECODE, "a", 1, 5).__enter__()


def test_those_of_a_worse_priority_keep_nobody_out_but_for_so_many() -> None:
    desk = Desk(Role.DECODE, max_choices=2)
    with desk.take(Role.DECODE, "a", 0, 1, 5), desk.take(Role.DECODE, "b", 0, 1, 0):
        with pytest.raises(RefusedError):
            desk.take(Role.DECODE, "worse", 0, 1, 6).__enter__()
        with pytest.raises(RefusedError):
            desk.take(Role.DECODE, "equal to a", 0, 1, 5).__enter__()
        with (
            desk.take(Role.DECODE, "better than a", 0, 1, 4),
            desk.take(Role.DECODE, "best", 0, 1, -1),
        ):
            assert desk.requests == 4
            with pytest.raises(RefusedError):
                desk.take(Role.DECODE, "one too many", 0, 1, -9).__enter__()


def test_one_attempt_is_served_once_and_another_attempt_is_another() -> None:
    desk = Desk(Role.DECODE, max_choices=8)
    with desk.take(Role.DECODE, "a", 0, 1):
        with pytest.raises(RequestError, match="a/0"):
            desk.take(Role.DECODE, "a", 0, 1).__enter__()
        with desk.take(Role.DECODE, "a", 1, 1) as key:
            assert key == "a/1"


def test_a_draining_worker_takes_nothing_new() -> None:
    desk = Desk(Role.DECODE, max_choices=8)
    with desk.take(Role.DECODE, "a", 0, 1):
        desk.drain()
        assert desk.state is WorkerState.DRAINING
        with pytest.raises(RefusedError, match="draining"):
            desk.take(Role.DECODE, "b", 0, 1).__enter__()


def test_every_change_is_told() -> None:
    seen: list[tuple[int, WorkerState]] = []
    desk = Desk(Role.DECODE, 8, lambda: seen.append((desk.requests, desk.state)))
    with desk.take(Role.DECODE, "a", 0, 1):
        desk.drain()
    ready, draining = WorkerState.READY, WorkerState.DRAINING
    assert seen == [(1, ready), (1, draining), (0, draining)]
