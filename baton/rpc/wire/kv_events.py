"""What came into and went from a prefix cache."""

from baton.core.kv_events import KvChange
from baton.v1 import worker_pb2


def kv_change_to_pb(change: KvChange) -> worker_pb2.KvEvents:
    return worker_pb2.KvEvents(
        after=change.after,
        upto=change.upto,
        snapshot=change.snapshot,
        to_come=change.to_come,
        stored=change.stored,
        removed=change.removed,
        stored_on_host=change.stored_on_host,
        removed_from_host=change.removed_from_host,
    )


def kv_change_from_pb(message: worker_pb2.KvEvents) -> KvChange:
    return KvChange(
        after=message.after,
        upto=message.upto,
        snapshot=message.snapshot,
        to_come=message.to_come,
        stored=tuple(message.stored),
        removed=tuple(message.removed),
        stored_on_host=tuple(message.stored_on_host),
        removed_from_host=tuple(message.removed_from_host),
    )
