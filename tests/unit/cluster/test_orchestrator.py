"""Who is missing, and who is too many."""

import pytest

from baton.cluster.orchestrator import RunWorker, Stage, check_count, missing, surplus
from baton.core.errors import SettingsError
from baton.core.worker_info import Role


def worker(name: str, stage: Stage = Stage.READY) -> RunWorker:
    return RunWorker(name, Role(name.partition("-")[0]), stage)


def test_missing_workers_get_the_lowest_numbers_that_nobody_has() -> None:
    there = [worker("decode-1"), worker("prefill-0")]
    assert missing(Role.DECODE, 3, there) == ["decode-0", "decode-2"]
    assert missing(Role.PREFILL, 1, there) == []


def test_a_draining_worker_does_not_count_but_keeps_its_name() -> None:
    there = [worker("decode-0", Stage.DRAINING), worker("decode-1")]
    assert missing(Role.DECODE, 2, there) == ["decode-2"]
    assert surplus(Role.DECODE, 1, there) == []


def test_who_serves_nobody_goes_first_and_then_who_came_last() -> None:
    there = [worker("decode-0", Stage.STARTING), worker("decode-1"), worker("decode-2")]
    going = [gone.worker_id for gone in surplus(Role.DECODE, 1, there)]
    assert going == ["decode-0", "decode-2"]
    assert surplus(Role.PREFILL, 0, there) == []


@pytest.mark.parametrize(("role", "count"), [(Role.DECODE, 0), (Role.PREFILL, -1)])
def test_no_cluster_is_without_somebody_to_write(role: Role, count: int) -> None:
    check_count(role, count + 1)
    with pytest.raises(SettingsError, match=f"at least {count + 1} {role.value} workers"):
        check_count(role, count)
