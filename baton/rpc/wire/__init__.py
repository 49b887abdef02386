"""The one translation between core types and protobuf messages, a file for each noun."""

from baton.rpc.wire.faults import fault_from_pb, fault_to_pb
from baton.rpc.wire.fingerprints import fingerprint_from_pb, fingerprint_to_pb
from baton.rpc.wire.handoffs import (
    encoded_from_pb,
    encoded_to_pb,
    epoch_from_pb,
    epoch_to_pb,
    handoff_from_pb,
    handoff_to_pb,
    prefix_source_from_pb,
    prefix_source_to_pb,
)
from baton.rpc.wire.images import images_from_pb, images_to_pb
from baton.rpc.wire.kv_events import kv_change_from_pb, kv_change_to_pb
from baton.rpc.wire.room import room_from_pb, room_to_pb
from baton.rpc.wire.sampling import sampling_from_pb, sampling_to_pb
from baton.rpc.wire.tokens import (
    prompt_logprobs_from_pb,
    prompt_logprobs_to_pb,
    record_from_pb,
    record_to_pb,
    records_from_pb,
    records_to_pb,
)
from baton.rpc.wire.workers import (
    role_from_pb,
    role_to_pb,
    state_to_pb,
    worker_info_from_pb,
    worker_info_to_pb,
    worker_load_from_pb,
    worker_load_to_pb,
)

__all__ = [
    "encoded_from_pb",
    "encoded_to_pb",
    "epoch_from_pb",
    "epoch_to_pb",
    "fault_from_pb",
    "fault_to_pb",
    "fingerprint_from_pb",
    "fingerprint_to_pb",
    "handoff_from_pb",
    "handoff_to_pb",
    "images_from_pb",
    "images_to_pb",
    "kv_change_from_pb",
    "kv_change_to_pb",
    "prefix_source_from_pb",
    "prefix_source_to_pb",
    "prompt_logprobs_from_pb",
    "prompt_logprobs_to_pb",
    "record_from_pb",
    "record_to_pb",
    "records_from_pb",
    "records_to_pb",
    "role_from_pb",
    "role_to_pb",
    "room_from_pb",
    "room_to_pb",
    "sampling_from_pb",
    "sampling_to_pb",
    "state_to_pb",
    "worker_info_from_pb",
    "worker_info_to_pb",
    "worker_load_from_pb",
    "worker_load_to_pb",
]
