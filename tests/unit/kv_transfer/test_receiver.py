"""The decode side's machine, rule by rule."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from baton.core.errors import BatonError, TransferError, UnavailableError
from baton.core.handoff import Epoch
from baton.core.token_record import TokenRecord
from kv_transfer import receiver_events as ev
from kv_transfer.moves import IllegalMoveError
from kv_transfer.receiver import Instructions, ReceiverMachine
from kv_transfer.receiver_states import MOVES, TERMINAL, ReceiverState

pytestmark = pytest.mark.unit

EPOCH = Epoch("p", 1)
LIMITS = ev.ReceiverLimits(
    reserved_s=1, opening_s=10, receiving_s=20, confirming_s=5, confirm_attempts=2
)
LEASE = ev.LeaseDescribed(EPOCH, "digest", 10, 3)
RECORDS = (TokenRecord(0, 10, 7),)
LAST = ev.LastReceived(RECORDS, True)
FIRST, REST = ev.SegmentReady(0, (5,)), ev.SegmentReady(1, (9, 2))
BLOCKS = ev.BlocksAllocated((30, 31, 32))
TO_CONFIRMING = (
    ev.Started(), LEASE, FIRST, BLOCKS, REST, LAST, ev.ReadDone(1), ev.ReadDone(2)
)  # fmt: skip


def machine_after(*events: ev.ReceiverEvent, now: float = 0.0) -> ReceiverMachine:
    machine = ReceiverMachine("p", "digest", 4, LIMITS, now)
    for event in events:
        machine.handle(event, now)
    return machine


def error_of(instructions: Instructions) -> BatonError:
    (error,) = [i.error for i in instructions if isinstance(i, ev.Fail)]
    return error


def test_an_undisturbed_hand_off() -> None:
    machine = machine_after()
    assert machine.handle(ev.Started(), 0) == [ev.OpenPull()]
    assert machine.handle(LEASE, 0) == []
    assert machine.handle(FIRST, 0) == [ev.AllocateBlocks(3)]
    assert machine.handle(BLOCKS, 0) == [ev.StartRead(1, (5,), (30,), 0)]
    assert machine.handle(REST, 0) == [ev.StartRead(2, (9, 2), (31, 32), 1)]
    assert machine.handle(ev.ReadDone(1), 0) == []
    assert machine.handle(LAST, 0) == []
    assert machine.handle(ev.ReadDone(2), 0) == [ev.SendConfirm(EPOCH, again=False)]
    assert machine.handle(ev.ConfirmAnswered(True), 0) == [
        ev.ClosePull(),
        ev.DeliverUsable((30, 31, 32), RECORDS, True),
    ]
    assert machine.state is ReceiverState.DONE


def test_segments_that_come_before_the_blocks_are_read_when_there_are_some() -> None:
    machine = machine_after(ev.Started(), LEASE, FIRST)
    assert machine.handle(REST, 0) == []
    assert machine.handle(BLOCKS, 0) == [
        ev.StartRead(1, (5,), (30,), 0),
        ev.StartRead(2, (9, 2), (31, 32), 1),
    ]


def test_segments_may_come_in_any_order_and_land_by_position() -> None:
    machine = machine_after(ev.Started(), LEASE, REST)
    assert machine.handle(BLOCKS, 0) == [ev.StartRead(1, (9, 2), (31, 32), 1)]
    assert machine.handle(FIRST, 0) == [ev.StartRead(2, (5,), (30,), 0)]


def machine_with(held: tuple[int, ...], *events: ev.ReceiverEvent) -> ReceiverMachine:
    machine = ReceiverMachine("p", "digest", 4, LIMITS, 0, held)
    for event in events:
        machine.handle(event, 0)
    return machine


def test_only_what_is_lacking_is_read_by_position() -> None:
    machine = machine_with((20,), ev.Started(), LEASE)
    assert machine.handle(ev.SegmentReady(0, (5, 9)), 0) == [ev.AllocateBlocks(2)]
    assert machine.handle(ev.BlocksAllocated((31, 32)), 0) == [ev.StartRead(1, (9,), (31,), 0)]
    assert machine.handle(ev.SegmentReady(2, (2,)), 0) == [ev.StartRead(2, (2,), (32,), 2)]
    machine.handle(LAST, 0)
    machine.handle(ev.ReadDone(2), 0)
    assert machine.handle(ev.ReadDone(1), 0) == [ev.SendConfirm(EPOCH, again=False)]
    assert ev.DeliverUsable((20, 31, 32), RECORDS, True) in machine.handle(
        ev.ConfirmAnswered(True), 0
    )


def test_where_everything_is_here_no_byte_moves_and_the_lease_is_confirmed_all_the_same() -> None:
    machine = machine_with((20, 21), ev.Started(), ev.LeaseDescribed(EPOCH, "digest", 8, 2))
    assert machine.handle(FIRST, 0) == []
    assert machine.handle(ev.SegmentReady(1, (9,)), 0) == []
    assert machine.handle(LAST, 0) == [ev.SendConfirm(EPOCH, again=False)]


def test_blocks_that_come_after_the_end_are_still_read() -> None:
    machine = machine_with((20, 21), ev.Started(), LEASE, FIRST, REST, LAST)
    assert machine.handle(ev.BlocksAllocated((32,)), 0) == [ev.StartRead(1, (2,), (32,), 1)]


def test_cached_blocks_that_the_lease_has_no_full_block_for_go_back_at_once() -> None:
    machine = machine_with((20, 21, 22), ev.Started())
    assert machine.handle(LEASE, 0) == [ev.ReleaseBlocks((22,))]
    assert machine.num_held == 2
    assert machine.handle(FIRST, 0) == [ev.AllocateBlocks(1)]


@pytest.mark.parametrize("events", [(), (ev.Started(),), (ev.Started(), LEASE)])
def test_cached_blocks_go_back_with_every_failure(events: tuple[ev.ReceiverEvent, ...]) -> None:
    out = machine_with((20, 21), *events).handle(ev.AbortRequested("enough"), 0)
    assert ev.ReleaseBlocks((20, 21)) in out


@pytest.mark.parametrize(
    ("lease", "match"),
    [
        (ev.LeaseDescribed(EPOCH, "another", 10, 3), "fingerprints"),
        (ev.LeaseDescribed(Epoch("q", 1), "digest", 10, 3), "the lease is of q"),
        (ev.LeaseDescribed(EPOCH, "digest", 10, 4), "4 blocks for 10 tokens"),
        (ev.LeaseDescribed(EPOCH, "digest", 0, 0), "0 blocks for 0 tokens"),
    ],
)
def test_a_lease_that_does_not_fit_fails_before_the_first_byte(
    lease: ev.LeaseDescribed, match: str
) -> None:
    out = machine_after(ev.Started()).handle(lease, 0)
    assert match in str(error_of(out))
    assert [type(i) for i in out] == [ev.ClosePull, ev.SendAbort, ev.Fail]


@pytest.mark.parametrize(
    ("segment", "match"),
    [
        (ev.SegmentReady(0, (5,)), "overlap"),
        (ev.SegmentReady(2, (5, 6)), "of a prompt of 3"),
        (ev.SegmentReady(1, ()), "empty"),
    ],
)
def test_segments_must_cover_the_prompt_once(segment: ev.SegmentReady, match: str) -> None:
    machine = machine_after(ev.Started(), LEASE, FIRST, BLOCKS, ev.ReadDone(1))
    out = machine.handle(segment, 0)
    assert match in str(error_of(out))
    assert ev.ReleaseBlocks((30, 31, 32)) in out


def test_an_end_with_a_block_missing_fails() -> None:
    machine = machine_after(ev.Started(), LEASE, FIRST, BLOCKS, ev.ReadDone(1))
    assert "without naming every block" in str(error_of(machine.handle(LAST, 0)))


CHECKED = ev.LeaseDescribed(EPOCH, "digest", 10, 3, checksums=True)
SUMMED = ev.SegmentReady(0, (5, 9, 2), (50, 90, 20))


def test_blocks_whose_checksum_is_wrong_are_read_again_before_anything_is_confirmed() -> None:
    machine = machine_after(ev.Started(), CHECKED, SUMMED)
    assert machine.handle(BLOCKS, 0) == [
        ev.StartRead(1, (5, 9, 2), (30, 31, 32), 0, (50, 90, 20)),
    ]
    assert machine.handle(LAST, 0) == []
    assert machine.handle(ev.ReadDone(1, wrong=(0, 2)), 0) == [
        ev.StartRead(2, (5, 2), (30, 32), 0, (50, 20), attempt=2),
    ]
    assert machine.handle(ev.ReadDone(2, wrong=(1,)), 0) == [
        ev.StartRead(3, (2,), (32,), 0, (20,), attempt=3),
    ]
    assert machine.handle(ev.ReadDone(3), 0) == [ev.SendConfirm(EPOCH, again=False)]
    assert machine.repaired_blocks == 2


def test_a_block_that_stays_wrong_ends_the_hand_off() -> None:
    machine = machine_after(ev.Started(), CHECKED, SUMMED, BLOCKS)
    assert LIMITS.block_reads == 3
    for read_id in (1, 2):
        (again,) = machine.handle(ev.ReadDone(read_id, wrong=(0,)), 0)
        assert isinstance(again, ev.StartRead)
    out = machine.handle(ev.ReadDone(3, wrong=(0,)), 0)
    assert "wrong checksum 3 times" in str(error_of(out))
    assert ev.ReleaseBlocks((30, 31, 32)) in out
    assert machine.state is ReceiverState.FAILED


def test_nothing_is_read_again_for_a_hand_off_that_was_given_up() -> None:
    machine = machine_after(ev.Started(), CHECKED, SUMMED, BLOCKS, ev.AbortRequested("enough"))
    out = machine.handle(ev.ReadDone(1, wrong=(0,)), 0)
    assert [type(i) for i in out] == [ev.ReleaseBlocks, ev.Fail]


@pytest.mark.parametrize("checksums", [(), (50, 90)])
def test_checksums_that_were_asked_for_must_come(checksums: tuple[int, ...]) -> None:
    out = machine_after(ev.Started(), CHECKED).handle(ev.SegmentReady(0, (5, 9, 2), checksums), 0)
    assert "without their checksums" in str(error_of(out))


def test_checksums_that_nobody_asked_for_are_not_compared() -> None:
    machine = machine_after(ev.Started(), LEASE, ev.SegmentReady(0, (5, 9, 2), (1,)))
    assert machine.handle(BLOCKS, 0) == [ev.StartRead(1, (5, 9, 2), (30, 31, 32), 0)]


@pytest.mark.parametrize("late", [REST, FIRST, LAST, LEASE])
def test_a_message_out_of_order_fails_the_hand_off(late: ev.ReceiverEvent) -> None:
    machine = machine_after(*TO_CONFIRMING)
    assert isinstance(error_of(machine.handle(late, 0)), TransferError)


def test_target_blocks_go_back_only_when_no_byte_can_land() -> None:
    machine = machine_after(ev.Started(), LEASE, FIRST, BLOCKS, REST)
    out = machine.handle(ev.AbortRequested("the client left"), 0)
    assert out == [ev.ClosePull(), ev.SendAbort("the client left"), ev.CancelReads()]
    assert machine.state is ReceiverState.ABORTING
    assert machine.deadline is None
    assert machine.handle(ev.DeadlinePassed(), 10**9) == []
    assert machine.handle(ev.ReadDone(1), 0) == []
    out = machine.handle(ev.ReadFailed(2, "cancelled"), 0)
    assert out[0] == ev.ReleaseBlocks((30, 31, 32))
    assert str(error_of(out)) == "the client left"
    assert machine.over


def test_blocks_that_come_after_the_abort_go_back() -> None:
    machine = machine_after(ev.Started(), LEASE, FIRST, ev.AbortRequested("enough"))
    assert machine.state is ReceiverState.ABORTING
    out = machine.handle(BLOCKS, 0)
    assert out[0] == ev.ReleaseBlocks((30, 31, 32))
    assert machine.over


def test_without_free_blocks_it_fails_and_holds_nothing() -> None:
    out = machine_after(ev.Started(), LEASE, FIRST).handle(ev.AllocationRefused(), 0)
    assert [type(i) for i in out] == [ev.ClosePull, ev.SendAbort, ev.Fail]


def test_a_stale_verdict_delivers_nothing() -> None:
    out = machine_after(*TO_CONFIRMING).handle(ev.ConfirmAnswered(False), 0)
    assert ev.ReleaseBlocks((30, 31, 32)) in out
    assert "ended before the last byte" in str(error_of(out))


def test_a_lost_verdict_is_asked_for_again_and_then_given_up() -> None:
    machine = machine_after(*TO_CONFIRMING)
    assert machine.handle(ev.ConfirmLost("reset"), 0) == [ev.SendConfirm(EPOCH, again=True)]
    out = machine.handle(ev.ConfirmLost("reset"), 0)
    assert isinstance(error_of(out), UnavailableError)
    assert ev.ReleaseBlocks((30, 31, 32)) in out


def test_the_end_of_the_stream_while_confirming_waits_for_the_verdict() -> None:
    machine = machine_after(*TO_CONFIRMING)
    assert machine.handle(ev.PullBroken(UnavailableError("closed")), 0) == []
    assert machine.handle(ev.ConfirmAnswered(True), 0)[-1] == ev.DeliverUsable(
        (30, 31, 32), RECORDS, True
    )


def test_a_stream_that_breaks_after_the_end_but_before_the_last_byte_fails() -> None:
    machine = machine_after(ev.Started(), LEASE, FIRST, BLOCKS, REST, LAST, ev.ReadDone(1))
    machine.handle(ev.PullBroken(UnavailableError("gone")), 0)
    assert isinstance(error_of(machine.handle(ev.ReadDone(2), 0)), UnavailableError)


@pytest.mark.parametrize(
    ("error", "told"), [(TransferError("taken"), False), (UnavailableError("gone"), True)]
)
def test_a_sender_that_ended_it_is_not_told_to_abort(error: BatonError, told: bool) -> None:
    out = machine_after(ev.Started()).handle(ev.PullBroken(error), 0)
    assert str(error_of(out)) == str(error)
    assert (ev.SendAbort(str(error)) in out) == told


@pytest.mark.parametrize(
    ("events", "seconds"),
    [((), 1), ((ev.Started(),), 10), ((ev.Started(), LEASE), 20), (TO_CONFIRMING, 5)],
)
def test_every_wait_on_the_other_side_has_its_bound(
    events: tuple[ev.ReceiverEvent, ...], seconds: float
) -> None:
    machine = machine_after(*events, now=100)
    assert machine.deadline == 100 + seconds
    assert machine.handle(ev.DeadlinePassed(), 100 + seconds - 0.1) == []
    out = machine.handle(ev.DeadlinePassed(), 100 + seconds)
    assert isinstance(error_of(out), UnavailableError)


def test_progress_moves_the_bound_while_receiving() -> None:
    machine = machine_after(ev.Started(), LEASE, FIRST)
    events: list[ev.ReceiverEvent] = [BLOCKS, REST, ev.ReadDone(1), LAST]
    for now, event in enumerate(events, start=10):
        machine.handle(event, now)
        assert machine.deadline == now + 20


@pytest.mark.parametrize(
    ("before", "illegal"),
    [
        ((ev.Started(),), ev.Started()),
        ((ev.Started(), LEASE), BLOCKS),
        ((ev.Started(), LEASE, FIRST), ev.BlocksAllocated((1, 1, 2))),
        ((ev.Started(), LEASE, FIRST), ev.BlocksAllocated((1, 2))),
        ((ev.Started(), LEASE, FIRST, BLOCKS), ev.ReadDone(2)),
        ((ev.Started(), LEASE), ev.ConfirmAnswered(True)),
    ],
)
def test_an_impossible_event_raises_and_tells_the_story(
    before: tuple[ev.ReceiverEvent, ...], illegal: ev.ReceiverEvent
) -> None:
    machine = machine_after(*before)
    with pytest.raises(IllegalMoveError) as caught:
        machine.handle(illegal, 0)
    assert len(caught.value.story) == len(before)


def test_every_state_has_its_moves_and_the_ends_have_none() -> None:
    assert set(MOVES) == set(ReceiverState)
    assert {state for state, onward in MOVES.items() if not onward} == TERMINAL


class AnyReceiver(RuleBasedStateMachine):
    """Whatever the sender says, true or not, the receiver ends and its books balance."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = ReceiverMachine("p", "digest", 4, LIMITS, 0.0)
        self.now = 0.0
        self.reads: dict[int, ev.StartRead] = {}
        self.right: set[int] = set()  # blocks whose bytes were found right
        self.held: tuple[int, ...] = ()
        self.allocations = self.confirms = self.ends = 0
        self.started = self.approved = False

    def feed(self, event: ev.ReceiverEvent) -> None:
        for instruction in self.machine.handle(event, self.now):
            match instruction:
                case ev.AllocateBlocks():
                    self.allocations += 1
                case ev.StartRead(read_id, sources, targets, _, checksums):
                    assert len(sources) == len(targets) == len(checksums)
                    assert set(targets) <= set(self.held)
                    self.reads[read_id] = instruction
                case ev.SendConfirm():
                    assert self.right == set(self.held)
                    self.confirms += 1
                case ev.ReleaseBlocks(blocks):
                    assert blocks == self.held
                    assert not self.reads
                    self.held = ()
                case ev.DeliverUsable(blocks):
                    assert self.approved
                    assert blocks == self.held
                    self.ends += 1
                case ev.Fail():
                    self.ends += 1

    @precondition(lambda self: not self.started)
    @rule()
    def start(self) -> None:
        self.started = True
        self.feed(ev.Started())

    @rule(digest=st.sampled_from(["digest"] * 9 + ["another"]))
    def lease(self, digest: str) -> None:
        if self.machine.state is ReceiverState.OPENING:
            self.feed(ev.LeaseDescribed(EPOCH, digest, 10, 3, checksums=True))

    @rule(first=st.integers(0, 2), length=st.integers(1, 3))
    def segment(self, first: int, length: int) -> None:
        if self.machine.state is ReceiverState.RECEIVING:
            blocks = tuple(range(first, first + length))
            self.feed(ev.SegmentReady(first, blocks, blocks))

    @rule()
    def last(self) -> None:
        self.feed(LAST)

    @precondition(lambda self: self.allocations)
    @rule(granted=st.booleans())
    def allocate(self, granted: bool) -> None:
        self.allocations -= 1
        if granted:
            self.held = (30, 31, 32)
        self.feed(BLOCKS if granted else ev.AllocationRefused())

    @precondition(lambda self: self.reads)
    @rule(data=st.data(), done=st.booleans(), damaged=st.booleans())
    def end_read(self, data: st.DataObject, done: bool, damaged: bool) -> None:
        read_id = data.draw(st.sampled_from(sorted(self.reads)))
        targets = self.reads.pop(read_id).target_blocks
        places = st.sets(st.sampled_from(range(len(targets))), min_size=1)
        wrong = data.draw(places) if damaged else set()
        if done:
            self.right |= {target for place, target in enumerate(targets) if place not in wrong}
        end = ev.ReadDone(read_id, tuple(sorted(wrong)))
        self.feed(end if done else ev.ReadFailed(read_id, "broken"))

    @precondition(lambda self: self.confirms)
    @rule(answer=st.sampled_from([ev.ConfirmAnswered(True), ev.ConfirmLost("lost")]))
    def verdict(self, answer: ev.ReceiverEvent) -> None:
        self.confirms -= 1
        self.approved = answer == ev.ConfirmAnswered(True)
        self.feed(answer)

    @rule()
    def break_stream(self) -> None:
        self.feed(ev.PullBroken(UnavailableError("broken")))

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.feed(ev.DeadlinePassed())

    @invariant()
    def the_books_balance(self) -> None:
        assert self.ends == self.machine.over
        if self.machine.state is ReceiverState.FAILED:
            assert (self.held, self.reads, self.allocations) == ((), {}, 0)
        if self.machine.state is ReceiverState.ABORTING:
            assert self.reads or self.allocations


AnyReceiver.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyReceiver = AnyReceiver.TestCase
