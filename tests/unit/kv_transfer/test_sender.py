"""The prefill side's machine, rule by rule."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from baton.core.handoff import Epoch
from baton.core.token_record import TokenRecord
from kv_transfer import sender_events as ev
from kv_transfer.moves import IllegalMoveError
from kv_transfer.sender import Instructions, SenderMachine
from kv_transfer.sender_events import Outcome, Refusal, TicketFault
from kv_transfer.sender_states import MOVES, TERMINAL, SenderState

pytestmark = pytest.mark.unit

EPOCH = Epoch("p", 1)
LIMITS = ev.SenderLimits(ttl_s=10, pull_wait_s=5, waiting_pulls=2)
TICKET = b"the ticket"
RECORDS = (TokenRecord(0, 10, 7),)
LENT = ev.BlocksLent((5, 6, 7), 10)  # blocks of 4 tokens, the last one in part
FINISHED = ev.PrefillFinished(RECORDS, True)


def machine_after(*events: ev.SenderEvent, now: float = 0.0) -> SenderMachine:
    machine = SenderMachine("t", EPOCH, 4, LIMITS)
    for event in events:
        machine.handle(event, now)
    return machine


def opened(*events: ev.SenderEvent) -> SenderMachine:
    return machine_after(ev.PrefillOpened(TICKET), *events)


def pulled(*events: ev.SenderEvent) -> SenderMachine:
    return opened(ev.PullOpened(1, TICKET), *events)


def of_type(instructions: Instructions, kind: type) -> list[object]:
    return [i for i in instructions if isinstance(i, kind)]


def test_an_attached_pull_hears_of_the_lease_and_of_each_full_block_once() -> None:
    machine = pulled()
    assert machine.handle(LENT, 0) == [ev.SendLease(1, EPOCH, 10, 3, 10_000)]
    assert machine.handle(ev.ChunkComputed(3), 0) == []
    assert machine.handle(ev.ChunkComputed(5), 0) == [ev.SendSegment(1, 0, (5,))]
    assert machine.handle(ev.ChunkComputed(10), 0) == [ev.SendSegment(1, 1, (6,))]
    assert machine.handle(FINISHED, 0) == [
        ev.SendSegment(1, 2, (7,)),
        ev.SendLast(1, RECORDS, True),
    ]
    assert machine.state is SenderState.SENT


def test_a_pull_that_attaches_while_computing_gets_everything_ready_so_far() -> None:
    machine = opened(LENT, ev.ChunkComputed(9))
    assert machine.handle(ev.PullOpened(1, TICKET), 0) == [
        ev.SendLease(1, EPOCH, 10, 3, 10_000),
        ev.SendSegment(1, 0, (5, 6)),
    ]


def test_a_pull_that_attaches_after_the_end_gets_all_of_it_and_the_remaining_life() -> None:
    machine = opened(LENT, ev.ChunkComputed(10), FINISHED)
    assert machine.handle(ev.PullOpened(1, TICKET), 4.0) == [
        ev.SendLease(1, EPOCH, 10, 3, 6_000),
        ev.SendSegment(1, 0, (5, 6, 7)),
        ev.SendLast(1, RECORDS, True),
    ]


def test_a_pull_before_its_prefill_waits_and_then_attaches() -> None:
    machine = machine_after(ev.PullOpened(1, TICKET))
    assert machine.state is SenderState.AWAITED
    assert machine.handle(ev.PrefillOpened(TICKET), 1) == []
    assert machine.handle(ev.PullOpened(2, TICKET), 1)[-1] == ev.RefusePull(2, Refusal.TAKEN)


def test_a_waiting_pull_is_refused_after_its_time_and_the_prefill_may_still_come() -> None:
    machine = machine_after(ev.PullOpened(1, TICKET))
    assert machine.deadline == 5
    assert machine.handle(ev.Tick(), 4.9) == []
    assert machine.handle(ev.Tick(), 5) == [ev.RefusePull(1, Refusal.NO_PREFILL)]
    assert machine.state is SenderState.NEW
    assert machine.deadline is None
    machine.handle(ev.PrefillOpened(TICKET), 6)
    assert machine.state is SenderState.COMPUTING


def test_of_several_waiting_pulls_the_one_with_the_ticket_wins() -> None:
    machine = machine_after(ev.PullOpened(1, b"guess"), ev.PullOpened(2, TICKET))
    assert machine.handle(ev.PullOpened(3, TICKET), 0) == [ev.RefusePull(3, Refusal.TOO_MANY)]
    assert machine.handle(ev.PrefillOpened(TICKET), 0) == [
        ev.TicketRefused("Pull", TicketFault.FORGED),
        ev.RefusePull(1, Refusal.WRONG_TICKET),
    ]
    assert machine.state is SenderState.PULLED
    assert machine.handle(ev.PullClosed(1), 0) == []


def test_a_second_pull_is_refused_even_with_the_ticket() -> None:
    machine = pulled(LENT)
    assert machine.handle(ev.PullOpened(2, TICKET), 0) == [
        ev.TicketRefused("Pull", TicketFault.USED),
        ev.RefusePull(2, Refusal.TAKEN),
    ]
    assert machine.handle(ev.PullClosed(2), 0) == []
    assert machine.state is SenderState.PULLED


@pytest.mark.parametrize("ticket", [b"", b"the tickex", b"the ticket and more"])
def test_a_wrong_ticket_is_refused_and_reported(ticket: bytes) -> None:
    machine = opened(LENT)
    assert machine.handle(ev.PullOpened(1, ticket), 0) == [
        ev.TicketRefused("Pull", TicketFault.FORGED),
        ev.RefusePull(1, Refusal.WRONG_TICKET),
    ]
    assert machine.handle(ev.AbortAsked(ticket, "go"), 0) == [
        ev.TicketRefused("Abort", TicketFault.FORGED)
    ]
    assert machine.state is SenderState.COMPUTING


def test_a_prefill_stream_that_closes_while_computing_drops_and_frees_everything() -> None:
    reason = "the Prefill stream was closed"
    assert pulled(LENT).handle(ev.PrefillStreamClosed(), 0) == [
        ev.ClosePull(1, reason),
        ev.AbortPrefill(reason),
        ev.ReleaseBlocks((5, 6, 7)),
        ev.LeaseOver(False, reason),
    ]


def test_a_prefill_stream_that_closes_after_all_is_computed_leaves_the_lease_to_its_pull() -> None:
    machine = pulled(LENT, FINISHED)
    assert machine.handle(ev.PrefillStreamClosed(), 0) == []
    assert machine.state is SenderState.SENT


def test_a_prefill_stream_that_closes_with_nobody_pulling_frees_the_blocks() -> None:
    out = opened(LENT, FINISHED).handle(ev.PrefillStreamClosed(), 0)
    assert ev.ReleaseBlocks((5, 6, 7)) in out
    assert of_type(out, ev.AbortPrefill) == []


def test_a_pull_that_closes_before_it_confirms_frees_the_blocks() -> None:
    computing = pulled(LENT).handle(ev.PullClosed(1), 0)
    assert len(of_type(computing, ev.AbortPrefill)) == 1
    assert ev.ReleaseBlocks((5, 6, 7)) in computing
    sent = pulled(LENT, FINISHED).handle(ev.PullClosed(1), 0)
    assert of_type(sent, ev.AbortPrefill) == []
    assert ev.ReleaseBlocks((5, 6, 7)) in sent


def test_confirm_of_the_epoch_answers_and_releases_in_one_step() -> None:
    machine = pulled(LENT, FINISHED)
    assert machine.handle(ev.ConfirmAsked(EPOCH), 0) == [
        ev.AnswerConfirm(Outcome.OK),
        ev.ClosePull(1, None),
        ev.ReleaseBlocks((5, 6, 7)),
        ev.LeaseOver(True, "confirmed"),
    ]
    assert machine.handle(ev.ConfirmAsked(EPOCH), 99) == [ev.AnswerConfirm(Outcome.OK)]
    assert machine.handle(ev.PullClosed(1), 99) == []


@pytest.mark.parametrize("epoch", [Epoch("p", 2), Epoch("q", 1)])
def test_confirm_of_another_epoch_is_stale_and_changes_nothing(epoch: Epoch) -> None:
    machine = pulled(LENT, FINISHED)
    assert machine.handle(ev.ConfirmAsked(epoch), 0) == [ev.AnswerConfirm(Outcome.STALE)]
    assert machine.state is SenderState.SENT


def test_confirm_before_everything_was_sent_is_stale_and_stays_so() -> None:
    machine = pulled(LENT, ev.ChunkComputed(10))
    assert machine.handle(ev.ConfirmAsked(EPOCH), 0)[0] == ev.AnswerConfirm(Outcome.STALE)
    machine.handle(FINISHED, 0)
    assert machine.handle(ev.ConfirmAsked(EPOCH), 0) == [ev.AnswerConfirm(Outcome.STALE)]


def test_the_life_of_a_lease_starts_when_all_is_computed_and_its_end_makes_confirm_stale() -> None:
    machine = pulled(LENT)
    assert machine.deadline is None
    machine.handle(FINISHED, 100)
    assert machine.deadline == 110
    assert machine.handle(ev.Tick(), 109) == []
    out = machine.handle(ev.Tick(), 110)
    assert out[0] == ev.ClosePull(1, "the lease expired")
    assert ev.ReleaseBlocks((5, 6, 7)) in out
    assert machine.handle(ev.ConfirmAsked(EPOCH), 111) == [ev.AnswerConfirm(Outcome.STALE)]


def test_blocks_lent_after_the_end_go_back_at_once() -> None:
    machine = opened(ev.AbortAsked(TICKET, "enough"))
    assert machine.handle(LENT, 0) == [ev.ReleaseBlocks((5, 6, 7))]
    assert machine.handle(ev.ChunkComputed(4), 0) == []
    assert machine.handle(FINISHED, 0) == []


def test_a_failed_prefill_is_not_dropped_again() -> None:
    out = pulled(LENT).handle(ev.PrefillFailed("it broke"), 0)
    assert out[0] == ev.ClosePull(1, "it broke")
    assert of_type(out, ev.AbortPrefill) == []


@pytest.mark.parametrize("finished", [False, True])
def test_a_worker_that_stops_gives_up_what_is_open(finished: bool) -> None:
    machine = pulled(LENT, *([FINISHED] if finished else []))
    out = machine.handle(ev.Abandoned("the worker stops"), 0)
    assert out[0] == ev.ClosePull(1, "the worker stops")
    assert len(of_type(out, ev.AbortPrefill)) == (not finished)
    assert ev.ReleaseBlocks((5, 6, 7)) in out


@pytest.mark.parametrize(
    ("ending", "ticket", "fault"),
    [
        (ev.ConfirmAsked(EPOCH), TICKET, TicketFault.USED),
        (ev.Tick(), TICKET, TicketFault.EXPIRED),
        (ev.Abandoned("the worker stops"), TICKET, None),
        (ev.Abandoned("the worker stops"), b"another", TicketFault.FORGED),
        (ev.ConfirmAsked(EPOCH), b"another", TicketFault.FORGED),
    ],
)
def test_a_ticket_that_comes_too_late_is_refused_and_reported(
    ending: ev.SenderEvent, ticket: bytes, fault: TicketFault | None
) -> None:
    machine = pulled(LENT, FINISHED)
    machine.handle(ending, LIMITS.ttl_s)
    assert machine.over
    reported = [] if fault is None else [ev.TicketRefused("Pull", fault)]
    refused = ev.RefusePull(2, Refusal.ENDED)
    assert machine.handle(ev.PullOpened(2, ticket), LIMITS.ttl_s) == [*reported, refused]


def test_an_ended_hand_off_cannot_be_aborted() -> None:
    machine = pulled(LENT, FINISHED, ev.ConfirmAsked(EPOCH))
    assert machine.handle(ev.AbortAsked(TICKET, "again"), 0) == []


@pytest.mark.parametrize(
    ("before", "illegal"),
    [
        ((), LENT),
        ((), FINISHED),
        ((ev.PrefillOpened(TICKET),), ev.PrefillOpened(TICKET)),
        ((ev.PrefillOpened(TICKET),), ev.ChunkComputed(4)),
        ((ev.PrefillOpened(TICKET),), FINISHED),
        ((ev.PrefillOpened(TICKET),), ev.BlocksLent((5, 6), 10)),
        ((ev.PrefillOpened(TICKET), LENT), LENT),
        ((ev.PrefillOpened(TICKET), LENT), ev.ChunkComputed(11)),
        ((ev.PrefillOpened(TICKET), LENT, ev.ChunkComputed(8)), ev.ChunkComputed(4)),
        ((ev.PrefillOpened(TICKET), LENT, FINISHED), FINISHED),
    ],
)
def test_an_impossible_event_raises_and_tells_the_story(
    before: tuple[ev.SenderEvent, ...], illegal: ev.SenderEvent
) -> None:
    machine = machine_after(*before)
    with pytest.raises(IllegalMoveError) as caught:
        machine.handle(illegal, 0)
    assert len(caught.value.story) == len(before)


def test_every_state_has_its_moves_and_the_ends_have_none() -> None:
    assert set(MOVES) == set(SenderState)
    assert {state for state, onward in MOVES.items() if not onward} == TERMINAL


def held(*events: ev.SenderEvent) -> SenderMachine:
    """Its Prefill's stream may end once everything is computed."""
    return machine_after(ev.PrefillOpened(TICKET, 4.0), *events)


def test_a_held_lease_outlives_its_stream_and_then_belongs_to_its_pull() -> None:
    machine = held(LENT, FINISHED, ev.PrefillStreamClosed())
    assert (machine.state, machine.deadline, machine.is_held) == (SenderState.READY, 4.0, True)
    assert of_type(machine.handle(ev.PullOpened(1, TICKET), 3.0), ev.SendLast)
    assert machine.deadline == 13.0
    ended = machine.handle(ev.ConfirmAsked(EPOCH), 12.0)
    assert ended[0] == ev.AnswerConfirm(Outcome.OK)
    assert of_type(ended, ev.ReleaseBlocks) == [ev.ReleaseBlocks((5, 6, 7))]
    assert not machine.is_held


def test_a_held_lease_ends_with_its_time_and_each_renewal_begins_it_anew() -> None:
    machine = held(LENT, FINISHED, ev.PrefillStreamClosed())
    assert machine.handle(ev.HoldRenewed(TICKET, 4.0), 3.0) == [ev.AnswerRenewal(4.0)]
    assert machine.handle(ev.HoldRenewed(TICKET, 1.0), 3.0) == [
        ev.AnswerRenewal(4.0)
    ]  # not shorter
    assert machine.handle(ev.Tick(), 6.9) == []
    assert of_type(machine.handle(ev.Tick(), 7.0), ev.ReleaseBlocks)
    assert machine.state is SenderState.EXPIRED
    assert machine.handle(ev.HoldRenewed(TICKET, 4.0), 7.0) == [ev.AnswerRenewal(0.0)]


def test_no_word_holds_a_lease_longer_than_its_worker_grants() -> None:
    machine = machine_after(ev.PrefillOpened(TICKET, 1e9), LENT, FINISHED)
    assert machine.deadline == LIMITS.longest_hold_s
    machine.handle(ev.HoldRenewed(TICKET, 1e9), 1.0)
    assert machine.deadline == 1.0 + LIMITS.longest_hold_s


@pytest.mark.parametrize("ticket", [b"", b"another", TICKET + b"x"])
def test_more_time_is_for_those_with_the_ticket(ticket: bytes) -> None:
    machine = held(LENT, FINISHED)
    assert machine.handle(ev.HoldRenewed(ticket, 4.0), 3.0) == [ev.AnswerRenewal(0.0)]
    assert machine.deadline == 4.0


def test_a_lease_that_a_stream_owns_is_not_renewed() -> None:
    machine = opened(LENT, FINISHED)
    assert machine.handle(ev.HoldRenewed(TICKET, 4.0), 0.0) == [ev.AnswerRenewal(0.0)]
    assert of_type(machine.handle(ev.PrefillStreamClosed(), 0.0), ev.ReleaseBlocks)
    pulled_one = held(LENT, FINISHED, ev.PullOpened(1, TICKET))
    pulled_one.handle(ev.HoldRenewed(TICKET, 100.0), 0.0)
    assert pulled_one.deadline == LIMITS.ttl_s


def test_while_it_computes_even_a_held_lease_needs_its_stream() -> None:
    machine = held(LENT)
    assert machine.handle(ev.HoldRenewed(TICKET, 4.0), 0.0) == [ev.AnswerRenewal(4.0)]
    assert of_type(machine.handle(ev.PrefillStreamClosed(), 0.0), ev.AbortPrefill)
    assert machine.state is SenderState.ABORTED


class AnySender(RuleBasedStateMachine):
    """Whatever the outside does in whatever order, the books balance."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = SenderMachine("t", EPOCH, 4, LIMITS)
        self.now = 0.0
        self.lent = self.over = self.sent = self.computed = 0
        self.held: tuple[int, ...] = ()
        self.attached: set[int] = set()

    def feed(self, event: ev.SenderEvent) -> None:
        for instruction in self.machine.handle(event, self.now):
            match instruction:
                case ev.SendLease(pull_id):
                    self.attached.add(pull_id)
                case ev.SendSegment(_, first, blocks):
                    assert first == self.sent
                    self.sent += len(blocks)
                    assert blocks == self.held[first : self.sent]
                    assert self.machine.state is SenderState.SENT or self.sent * 4 <= self.computed
                case ev.ReleaseBlocks(blocks):
                    assert blocks == self.held
                    self.held = ()
                case ev.LeaseOver():
                    self.over += 1

    @rule(ticket=st.sampled_from([TICKET, b"wrong"]), pull_id=st.integers(1, 5))
    def pull(self, ticket: bytes, pull_id: int) -> None:
        self.feed(ev.PullOpened(pull_id, ticket))

    @rule(pull_id=st.integers(1, 5))
    def close(self, pull_id: int) -> None:
        self.feed(ev.PullClosed(pull_id))

    @precondition(lambda self: self.machine.state in (SenderState.NEW, SenderState.AWAITED))
    @rule()
    def open(self) -> None:
        self.feed(ev.PrefillOpened(TICKET))

    @precondition(lambda self: self.opened and not self.lent)
    @rule()
    def lend(self) -> None:
        self.lent, self.held = 1, (5, 6, 7)
        self.feed(LENT)

    @precondition(lambda self: self.lent and self.computed < 10)
    @rule()
    def compute(self) -> None:
        self.computed += 2
        self.feed(ev.ChunkComputed(self.computed))

    @precondition(lambda self: self.lent and self.machine.state is not SenderState.READY)
    @rule()
    def finish(self) -> None:
        if self.machine.state is not SenderState.SENT:
            self.computed = 10
            self.feed(FINISHED)

    @precondition(lambda self: self.opened)
    @rule(event=st.sampled_from([ev.PrefillStreamClosed(), ev.PrefillFailed("broke")]))
    def leave(self, event: ev.SenderEvent) -> None:
        self.feed(event)

    @rule(epoch=st.sampled_from([EPOCH, Epoch("p", 9)]))
    def confirm(self, epoch: Epoch) -> None:
        self.feed(ev.ConfirmAsked(epoch))

    @rule(ticket=st.sampled_from([TICKET, b"wrong"]))
    def abort(self, ticket: bytes) -> None:
        self.feed(ev.AbortAsked(ticket, "abort"))

    @rule(seconds=st.sampled_from([0.0, 1.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.feed(ev.Tick())

    @property
    def opened(self) -> bool:
        return self.machine.state not in (SenderState.NEW, SenderState.AWAITED)

    @invariant()
    def the_books_balance(self) -> None:
        assert self.machine.blocks == self.held
        assert self.over == self.machine.over
        assert len(self.attached) <= 1
        if self.machine.over:
            assert self.held == ()
            assert self.machine.deadline is None


AnySender.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnySender = AnySender.TestCase
