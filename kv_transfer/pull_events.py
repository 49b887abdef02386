"""Messages of a Pull stream as events of the receiver machine."""

from collections.abc import Iterator

from baton.core.errors import TransferError
from baton.rpc.wire import epoch_from_pb, records_from_pb
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer import receiver_events as ev


def events_of(message: pb.PullResponse, checksums: bool) -> list[ev.ReceiverEvent]:
    """At least one. `checksums`: this side asked for them."""
    unknown = ev.PullBroken(TransferError("the sender said something unknown"))
    return [*_known(message, checksums)] or [unknown]


def verdict_of(outcome: int) -> ev.ConfirmAnswered:
    return ev.ConfirmAnswered(outcome == pb.CONFIRM_OUTCOME_OK)


def _known(message: pb.PullResponse, checksums: bool) -> Iterator[ev.ReceiverEvent]:
    if message.HasField("lease"):
        lease = message.lease
        yield ev.LeaseDescribed(
            epoch_from_pb(lease.epoch),
            lease.fingerprint_digest,
            lease.num_tokens,
            lease.num_blocks,
            checksums,
        )
    if message.HasField("segment"):
        segment = message.segment
        blocks, sums = tuple(segment.block_ids), tuple(segment.checksums)
        yield ev.SegmentReady(segment.first_block, blocks, sums)
    if message.HasField("last"):
        last = message.last
        yield ev.LastReceived(records_from_pb(last.records), last.continuation)
    if message.verdict != pb.CONFIRM_OUTCOME_UNSPECIFIED:
        yield verdict_of(message.verdict)
