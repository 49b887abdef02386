"""Who a worker is, and how busy."""

from baton.core.errors import RequestError
from baton.core.step_totals import StepSums, StepTotals
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from baton.rpc.wire.fingerprints import fingerprint_from_pb, fingerprint_to_pb
from baton.rpc.wire.room import room_from_pb, room_to_pb
from baton.v1 import types_pb2

_ROLE = {
    Role.PREFILL: types_pb2.ROLE_PREFILL,
    Role.DECODE: types_pb2.ROLE_DECODE,
    Role.ENCODE: types_pb2.ROLE_ENCODE,
}
_ROLE_BACK = {wire: core for core, wire in _ROLE.items()}
_STATE = {
    WorkerState.READY: types_pb2.WORKER_STATE_READY,
    WorkerState.DRAINING: types_pb2.WORKER_STATE_DRAINING,
}
_STATE_BACK = {wire: core for core, wire in _STATE.items()}


def worker_info_to_pb(info: WorkerInfo) -> types_pb2.WorkerInfo:
    return types_pb2.WorkerInfo(
        worker_id=info.worker_id,
        instance_id=info.instance_id,
        role=_ROLE[info.role],
        address=info.address,
        metrics_url=info.metrics_url,
        pid=info.pid,
        model=info.model,
        max_model_len=info.max_model_len,
        num_blocks=info.num_blocks,
        fingerprint=fingerprint_to_pb(info.fingerprint),
        labels=dict(info.labels),
        flips=info.flips,
        files_digest=info.files_digest,
    )


def worker_info_from_pb(message: types_pb2.WorkerInfo) -> WorkerInfo:
    return WorkerInfo(
        worker_id=message.worker_id,
        instance_id=message.instance_id,
        role=_ROLE_BACK[message.role],
        address=message.address,
        metrics_url=message.metrics_url,
        pid=message.pid,
        model=message.model,
        max_model_len=message.max_model_len,
        num_blocks=message.num_blocks,
        fingerprint=fingerprint_from_pb(message.fingerprint),
        labels=tuple(sorted(message.labels.items())),
        flips=message.flips,
        files_digest=message.files_digest,
    )


def role_to_pb(role: Role) -> "types_pb2.Role.ValueType":
    return _ROLE[role]


def role_from_pb(value: "types_pb2.Role.ValueType") -> Role:
    """Raises RequestError for one that is not known here."""
    try:
        return _ROLE_BACK[value]
    except KeyError:
        raise RequestError(f"there is no role {value}", "role") from None


def state_to_pb(state: WorkerState) -> "types_pb2.WorkerState.ValueType":
    return _STATE[state]


def worker_load_to_pb(load: WorkerLoad) -> types_pb2.WorkerLoad:
    return types_pb2.WorkerLoad(
        state=_STATE[load.state],
        running=load.running,
        waiting=load.waiting,
        free_blocks=load.free_blocks,
        reserved_blocks=load.reserved_blocks,
        leased_blocks=load.leased_blocks,
        total_blocks=load.total_blocks,
        unread_tokens=load.unread_tokens,
        writing=_step_sums_to_pb(load.steps.writing),
        reading=_step_sums_to_pb(load.steps.reading),
        next_role=_ROLE[load.next_role] if load.next_role else types_pb2.ROLE_UNSPECIFIED,
        room=room_to_pb(load.room),
    )


def worker_load_from_pb(message: types_pb2.WorkerLoad) -> WorkerLoad:
    return WorkerLoad(
        state=_STATE_BACK[message.state],
        running=message.running,
        waiting=message.waiting,
        free_blocks=message.free_blocks,
        reserved_blocks=message.reserved_blocks,
        leased_blocks=message.leased_blocks,
        total_blocks=message.total_blocks,
        unread_tokens=message.unread_tokens,
        steps=StepTotals(_step_sums_from_pb(message.writing), _step_sums_from_pb(message.reading)),
        next_role=_ROLE_BACK.get(message.next_role),
        room=room_from_pb(message.room),
    )


def _step_sums_to_pb(sums: StepSums) -> types_pb2.StepSums:
    return types_pb2.StepSums(
        steps=sums.steps,
        seconds=sums.seconds,
        sequences=sums.sequences,
        context_tokens=sums.context_tokens,
        read_tokens=sums.read_tokens,
        read_pairs=sums.read_pairs,
    )


def _step_sums_from_pb(message: types_pb2.StepSums) -> StepSums:
    return StepSums(
        message.steps,
        message.seconds,
        message.sequences,
        message.context_tokens,
        message.read_tokens,
        message.read_pairs,
    )
