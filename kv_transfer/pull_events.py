"""Messages of a Pull stream as events of the receiver machine."""

from baton.core.errors import TransferError
from baton.rpc.wire import epoch_from_pb, records_from_pb
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer import receiver_events as ev


def event_of(message: pb.PullResponse, checksums: bool) -> ev.ReceiverEvent:
    """`checksums`: this side asked for them."""
    match message.WhichOneof("event"):
        case "lease":
            lease = message.lease
            return ev.LeaseDescribed(
                epoch_from_pb(lease.epoch),
                lease.fingerprint_digest,
                lease.num_tokens,
                lease.num_blocks,
                checksums,
            )
        case "segment":
            segment = message.segment
            blocks, sums = tuple(segment.block_ids), tuple(segment.checksums)
            return ev.SegmentReady(segment.first_block, blocks, sums)
        case "last":
            records = records_from_pb(message.last.records)
            return ev.LastReceived(records, message.last.continuation)
        case None:
            return ev.PullBroken(TransferError("the sender said something unknown"))
