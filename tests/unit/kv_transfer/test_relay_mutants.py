"""The model of hand-offs is worth its name: each way of breaking the machines makes it fail."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from baton.core.errors import InternalError
from baton.core.handoff import Epoch
from kv_transfer import receiver_events as rev
from kv_transfer import sender_events as sev
from kv_transfer.receiver import ReceiverMachine
from kv_transfer.receiver_states import ReceiverState
from kv_transfer.sender import SenderMachine
from kv_transfer.sender_states import SenderState
from kv_transfer.sender_table import SenderTable
from tests.support.kv_model_play import played, twice_disturbed
from tests.unit.kv_transfer.test_relay import ANYWHERE

pytestmark = pytest.mark.unit

Break = Callable[[pytest.MonkeyPatch], None]
RUNS = 1500


def found_fault() -> bool:
    """A run of the model has failed."""
    try:
        for seed in range(RUNS):
            twice_disturbed(seed, ANYWHERE)
            played(seed, (6, 15, 40)[seed % 3])
    except (AssertionError, InternalError, KeyError, StopIteration, pytest.fail.Exception):
        return True
    return False


def target_blocks_go_back_while_reads_run(patch: pytest.MonkeyPatch) -> None:
    def settle(self: Any) -> list[rev.ReceiverInstruction]:
        self._move(ReceiverState.FAILED, None)
        targets, self._targets = self._targets, ()
        released: list[rev.ReceiverInstruction] = [rev.ReleaseBlocks(targets)] if targets else []
        return [*released, rev.Fail(self._error)]

    patch.setattr(ReceiverMachine, "_settle", settle)


def blocks_allocated_after_the_abort_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    right = ReceiverMachine._allocated

    def allocated(self: Any, blocks: tuple[int, ...], now: float) -> Any:
        late = self.state is ReceiverState.ABORTING
        return right(self, () if late else blocks, now)

    patch.setattr(ReceiverMachine, "_allocated", allocated)


def a_stale_verdict_is_taken_for_ok(patch: pytest.MonkeyPatch) -> None:
    right = ReceiverMachine._confirm_answered
    patch.setattr(ReceiverMachine, "_confirm_answered", lambda self, ok: right(self, True))


def a_lost_verdict_is_taken_for_ok(patch: pytest.MonkeyPatch) -> None:
    right = ReceiverMachine._confirm_answered
    patch.setattr(ReceiverMachine, "_confirm_lost", lambda self, reason: right(self, True))


def segments_land_by_their_order(patch: pytest.MonkeyPatch) -> None:
    right = ReceiverMachine._read_segment

    def read_segment(self: Any, segment: rev.SegmentReady) -> Any:
        return right(self, replace(segment, first_block=0))

    patch.setattr(ReceiverMachine, "_read_segment", read_segment)


def decode_waits_without_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReceiverMachine, "_deadline_passed", lambda self, now: [])


def a_restarted_peer_is_taken_for_the_old_one(patch: pytest.MonkeyPatch) -> None:
    right = ReceiverMachine._lease_fault

    def fault(self: Any, event: rev.LeaseDescribed) -> str | None:
        self._instance_id = event.epoch.instance_id
        return right(self, event)

    patch.setattr(ReceiverMachine, "_lease_fault", fault)


def confirm_is_not_compared_with_the_epoch(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._confirm_asked
    patch.setattr(SenderMachine, "_confirm_asked", lambda self, epoch: right(self, self.epoch))


def epochs_are_those_of_the_process_before(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._confirm_asked

    def confirm(self: Any, epoch: Epoch) -> Any:
        return right(self, Epoch(self.epoch.instance_id, epoch.serial))

    patch.setattr(SenderMachine, "_confirm_asked", confirm)


def confirm_answers_before_everything_was_sent(patch: pytest.MonkeyPatch) -> None:
    def confirm(self: Any, epoch: Epoch) -> Any:
        if epoch != self.epoch:
            return [sev.AnswerConfirm(sev.Outcome.STALE)]
        if self.state not in (SenderState.PULLED, SenderState.SENT):
            return [sev.AnswerConfirm(sev.Outcome.STALE)]
        return [sev.AnswerConfirm(sev.Outcome.OK)]  # and the lease goes on

    patch.setattr(SenderMachine, "_confirm_asked", confirm)


def a_repeated_confirm_is_stale(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._late

    def late(self: Any, event: sev.SenderEvent) -> Any:
        if isinstance(event, sev.ConfirmAsked):
            return [sev.AnswerConfirm(sev.Outcome.STALE)]
        return right(self, event)

    patch.setattr(SenderMachine, "_late", late)


def a_second_pull_is_accepted(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._attach_or_refuse

    def attach(self: Any, pull_id: int, ticket: bytes, now: float) -> Any:
        if self._pull_id is not None and ticket == self._ticket:
            self._pull_id = pull_id
            return self._lease(now)
        return right(self, pull_id, ticket, now)

    patch.setattr(SenderMachine, "_attach_or_refuse", attach)


def any_ticket_will_do(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._attach_or_refuse

    def attach(self: Any, pull_id: int, ticket: bytes, now: float) -> Any:
        return right(self, pull_id, self._ticket, now)

    patch.setattr(SenderMachine, "_attach_or_refuse", attach)


def a_pull_that_breaks_keeps_its_lease(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._pull_closed

    def closed(self: Any, pull_id: int) -> Any:
        return right(self, pull_id) if self.state is SenderState.AWAITED else []

    patch.setattr(SenderMachine, "_pull_closed", closed)
    patch.setattr(SenderMachine, "_tick", lambda self, now: [])  # the backstop would hide it


def a_lease_never_expires(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._tick

    def tick(self: Any, now: float) -> Any:
        return right(self, now) if self.state is SenderState.AWAITED else []

    patch.setattr(SenderMachine, "_tick", tick)


def a_pull_waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._tick

    def tick(self: Any, now: float) -> Any:
        return [] if self.state is SenderState.AWAITED else right(self, now)

    patch.setattr(SenderMachine, "_tick", tick)


def the_gateways_end_is_not_minded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SenderMachine, "_prefill_stream_closed", lambda self: [])


def blocks_lent_late_are_kept(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._late

    def late(self: Any, event: sev.SenderEvent) -> Any:
        return [] if isinstance(event, sev.BlocksLent) else right(self, event)

    patch.setattr(SenderMachine, "_late", late)


def a_block_is_named_before_it_is_full(patch: pytest.MonkeyPatch) -> None:
    def computed(self: Any, num_tokens: int) -> Any:
        self._computed = num_tokens
        return self._segment(-(-num_tokens // self._block_size))

    patch.setattr(SenderMachine, "_chunk_computed", computed)


def the_lease_ends_with_the_last_word(patch: pytest.MonkeyPatch) -> None:
    """Released when everything was said, not when everything was read."""
    right = SenderMachine._rest

    def rest(self: Any) -> Any:
        blocks, said = self.blocks, right(self)
        self.blocks = ()
        return [*said, sev.ReleaseBlocks(blocks)]

    patch.setattr(SenderMachine, "_rest", rest)


def ended_hand_offs_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    def bury(self: Any, machine: SenderMachine, now: float) -> None:
        del self._live[machine.transfer_id]
        self._ends[machine.state] += 1

    patch.setattr(SenderTable, "_bury", bury)


def a_held_lease_that_was_renewed_never_ends(patch: pytest.MonkeyPatch) -> None:
    def renewed(self: Any, event: sev.HoldRenewed, now: float) -> Any:
        if self._hold_s:
            self._expires = None
        return [sev.AnswerRenewal(self._hold_s)]

    patch.setattr(SenderMachine, "_hold_renewed", renewed)


def a_held_lease_needs_no_gateway_while_it_computes(patch: pytest.MonkeyPatch) -> None:
    right = SenderMachine._prefill_stream_closed
    patch.setattr(
        SenderMachine,
        "_prefill_stream_closed",
        lambda self: [] if self._hold_s else right(self),
    )


BREAKS: list[Break] = [
    target_blocks_go_back_while_reads_run,
    blocks_allocated_after_the_abort_are_forgotten,
    a_stale_verdict_is_taken_for_ok,
    a_lost_verdict_is_taken_for_ok,
    segments_land_by_their_order,
    decode_waits_without_bound,
    a_restarted_peer_is_taken_for_the_old_one,
    confirm_is_not_compared_with_the_epoch,
    epochs_are_those_of_the_process_before,
    confirm_answers_before_everything_was_sent,
    a_repeated_confirm_is_stale,
    a_second_pull_is_accepted,
    any_ticket_will_do,
    a_pull_that_breaks_keeps_its_lease,
    a_lease_never_expires,
    a_pull_waits_for_ever,
    the_gateways_end_is_not_minded,
    blocks_lent_late_are_kept,
    a_block_is_named_before_it_is_full,
    the_lease_ends_with_the_last_word,
    ended_hand_offs_are_forgotten,
    a_held_lease_that_was_renewed_never_ends,
    a_held_lease_needs_no_gateway_while_it_computes,
]


@pytest.mark.parametrize("broken", BREAKS, ids=lambda b: b.__name__)
def test_the_model_finds_the_machines_broken(
    broken: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    assert found_fault()
