"""How often a worker was restarted, as a gateway has seen it."""

from dataclasses import replace

from gateway.members.roll import Roll
from tests.support.worker_infos import worker_info

BEGUN = worker_info("decode-0", "one")


def test_each_process_of_a_worker_id_counts_and_a_change_of_role_does_not() -> None:
    roll = Roll()
    assert roll.enter(BEGUN) == 0
    assert roll.enter(replace(BEGUN, instance_id="two", flips=1)) == 0
    assert roll.enter(replace(BEGUN, instance_id="three", flips=2)) == 0
    assert roll.enter(replace(BEGUN, instance_id="four")) == 1
    assert roll.enter(replace(BEGUN, instance_id="five", flips=1)) == 1
    assert [info.instance_id for info in roll.known] == ["five"]


def test_a_worker_that_is_first_met_in_another_role_was_not_restarted() -> None:
    roll = Roll()
    assert roll.enter(replace(BEGUN, flips=3)) == 0
    assert roll.enter(replace(BEGUN, instance_id="two")) == 1
