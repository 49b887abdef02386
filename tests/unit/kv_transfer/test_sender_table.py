"""All hand-offs of one sender: who is found, what is remembered, what is counted."""

from dataclasses import replace

import pytest

from baton.core.errors import RefusedError
from baton.core.handoff import Epoch
from kv_transfer import sender_events as ev
from kv_transfer.sender import SenderMachine
from kv_transfer.sender_events import Outcome, Refusal
from kv_transfer.sender_table import Hold, SenderCounts, SenderTable

pytestmark = pytest.mark.unit

TICKET = b"ticket"
LIMITS = ev.SenderLimits(ttl_s=10, pull_wait_s=5, tombstone_s=60, tombstones=3)
STALE = [ev.AnswerConfirm(Outcome.STALE)]


def new_table() -> SenderTable:
    return SenderTable("p", 4, LIMITS)


def confirmed(table: SenderTable, transfer_id: str, now: float = 0.0) -> SenderMachine:
    machine, _ = table.open(transfer_id, TICKET, now)
    table.pull(transfer_id, TICKET, 1, now)
    table.feed(machine, ev.BlocksLent((1,), 4), now)
    table.feed(machine, ev.PrefillFinished((), False), now)
    assert table.confirm(transfer_id, machine.epoch, now)[0] == ev.AnswerConfirm(Outcome.OK)
    return machine


def test_no_two_leases_have_the_same_epoch() -> None:
    table = new_table()
    epochs = [table.open(f"t{i}", TICKET, 0)[0].epoch for i in range(5)]
    assert len(set(epochs)) == 5
    assert {epoch.instance_id for epoch in epochs} == {"p"}


def test_a_transfer_opens_once() -> None:
    table = new_table()
    table.open("t", TICKET, 0)
    with pytest.raises(RefusedError, match="open already"):
        table.open("t", TICKET, 0)
    confirmed(table, "u")
    with pytest.raises(RefusedError, match="over"):
        table.open("u", TICKET, 0)


def test_an_abort_before_its_prefill_is_remembered_for_that_ticket_alone() -> None:
    table = new_table()
    table.abort("t", TICKET, "gone", 0)
    table.abort("u", b"wrong", "a stranger", 0)
    assert table.pull("t", TICKET, 1, 0) == (None, [ev.RefusePull(1, Refusal.ABORTED)])
    with pytest.raises(RefusedError, match="aborted"):
        table.open("t", TICKET, 1)
    table.open("u", TICKET, 1)


def test_an_abort_refuses_the_pull_that_waits() -> None:
    table = new_table()
    table.pull("t", TICKET, 1, 0)
    assert table.abort("t", TICKET, "gone", 0) == [ev.RefusePull(1, Refusal.ABORTED)]
    assert table.next_deadline is None
    with pytest.raises(RefusedError):
        table.open("t", TICKET, 1)


def test_a_repeated_confirm_gets_the_first_answer_until_it_is_forgotten() -> None:
    table = new_table()
    machine = confirmed(table, "t")
    assert table.confirm("t", machine.epoch, 59) == [ev.AnswerConfirm(Outcome.OK)]
    table.abort("other", TICKET, "makes the table look at the time", 61)
    assert table.confirm("t", machine.epoch, 61) == STALE


def test_an_unknown_transfer_is_stale() -> None:
    assert new_table().confirm("t", Epoch("p", 1), 0) == STALE


def test_memory_of_ended_hand_offs_and_of_early_aborts_is_bounded_in_count() -> None:
    table = new_table()
    machines = [confirmed(table, f"t{i}") for i in range(5)]
    known = [table.confirm(m.transfer_id, m.epoch, 0) != STALE for m in machines]
    assert known == [False, False, True, True, True]
    for i in range(5):
        table.abort(f"a{i}", TICKET, "early", 0)
    table.open("a0", TICKET, 0)
    with pytest.raises(RefusedError):
        table.open("a4", TICKET, 0)


def test_a_late_event_of_a_forgotten_hand_off_still_gives_its_blocks_back() -> None:
    table = new_table()
    machine, _ = table.open("t", TICKET, 0)
    table.abort("t", TICKET, "enough", 0)
    table.abort("other", TICKET, "makes the table look at the time", 1000)
    late = table.feed(machine, ev.BlocksLent((1, 2), 8), 1000)
    assert late == [ev.ReleaseBlocks((1, 2))]


def test_time_ends_leases_and_waits_and_nothing_else_asks_for_it() -> None:
    table = new_table()
    machine, _ = table.open("t", TICKET, 0)
    assert table.next_deadline is None
    table.feed(machine, ev.BlocksLent((1,), 4), 0)
    table.feed(machine, ev.PrefillFinished((), False), 1)
    table.pull("u", TICKET, 7, 2)
    assert table.next_deadline == 7
    assert [out for _, out in table.tick(7)] == [[ev.RefusePull(7, Refusal.NO_PREFILL)]]
    assert table.next_deadline == 11
    assert len(table.tick(11)) == 1
    assert table.next_deadline is None


def test_everything_is_counted() -> None:
    table = new_table()
    confirmed(table, "t")
    aborted, _ = table.open("u", TICKET, 0)
    table.feed(aborted, ev.PrefillStreamClosed(), 0)
    expired, _ = table.open("v", TICKET, 0)
    table.feed(expired, ev.BlocksLent((1,), 4), 0)
    table.feed(expired, ev.PrefillFinished((), False), 0)
    table.tick(10)
    live, _ = table.open("w", TICKET, 10)
    table.feed(live, ev.BlocksLent((1, 2, 3), 10), 10)
    table.pull("w", b"wrong", 1, 10)
    table.pull("x", TICKET, 2, 10)
    table.open("y", TICKET, 10)
    table.pull("y", TICKET, 3, 10)
    assert table.counts() == SenderCounts(
        open_leases=2,
        pulled_leases=1,
        leased_blocks=3,
        waiting_pulls=1,
        confirmed=1,
        aborted=1,
        expired=1,
        refused_tickets=1,
        reclaimed_blocks=1,  # of "v"; those of "t" were confirmed, those of "w" are lent
    )


def test_the_late_end_of_a_pull_that_waited_in_vain_leaves_the_prefill_alone() -> None:
    table = new_table()
    waited, _ = table.pull("t", TICKET, 1, 0)
    table.tick(LIMITS.pull_wait_s)  # it is refused, its stream is not closed yet
    assert waited is not None
    machine, _ = table.open("t", TICKET, 5)
    table.feed(waited, ev.PullClosed(1), 5)
    assert table.counts().open_leases == 1
    table.feed(machine, ev.PrefillStreamClosed(), 6)
    assert table.counts().aborted == 1


def test_only_so_many_blocks_are_held_for_others_to_come_for_them() -> None:
    table = SenderTable("p", 4, replace(LIMITS, held_blocks=5))
    first, _ = table.open("a", TICKET, 0, Hold(3.0, 2))
    table.open("b", TICKET, 0, Hold(3.0, 3))
    assert table.counts().held_blocks == 5
    with pytest.raises(RefusedError, match="held"):
        table.open("c", TICKET, 0, Hold(3.0, 1))
    table.open("d", TICKET, 0)  # one that a stream owns is not among them
    table.feed(first, ev.PrefillFailed("broken"), 0)
    table.open("c", TICKET, 0, Hold(3.0, 2))
    assert table.counts().held_blocks == 5


def test_where_none_may_be_held_none_is() -> None:
    with pytest.raises(RefusedError):
        new_table().open("a", TICKET, 0, Hold(3.0, 1))


def test_a_renewal_of_nothing_holds_nothing() -> None:
    table = SenderTable("p", 4, replace(LIMITS, held_blocks=5))
    assert table.renew("a", TICKET, 9.0, 0) == [ev.AnswerRenewal(0.0)]
    table.pull("a", TICKET, 1, 0)  # waits for its Prefill
    assert table.renew("a", TICKET, 9.0, 0) == [ev.AnswerRenewal(0.0)]
    confirmed(table, "b")
    assert table.renew("b", TICKET, 9.0, 0) == [ev.AnswerRenewal(0.0)]


def test_under_another_name_old_leases_keep_their_epoch_and_new_ones_get_another() -> None:
    table = new_table()
    old = confirmed(table, "t0")
    table.instance_id = "p'"
    again = table.confirm("t0", old.epoch, 0)
    assert again == [ev.AnswerConfirm(Outcome.OK)]  # the first answer, as ever
    new, _ = table.open("t1", TICKET, 0)
    assert new.epoch.instance_id == "p'"
    assert new.epoch.serial != old.epoch.serial
