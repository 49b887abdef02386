"""The one translation between core types and protobuf messages."""

from collections.abc import Iterable

from baton.core.fingerprint import Fingerprint
from baton.core.handoff import Epoch, Handoff
from baton.core.layout import LayoutDescriptor
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from baton.v1 import decode_pb2, types_pb2

_FINISH = {
    None: types_pb2.FINISH_REASON_UNSPECIFIED,
    FinishReason.STOP: types_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: types_pb2.FINISH_REASON_LENGTH,
}
_FINISH_BACK = {wire: core for core, wire in _FINISH.items()}
_ROLE = {Role.PREFILL: types_pb2.ROLE_PREFILL, Role.DECODE: types_pb2.ROLE_DECODE}
_ROLE_BACK = {wire: core for core, wire in _ROLE.items()}
_STATE = {
    WorkerState.READY: types_pb2.WORKER_STATE_READY,
    WorkerState.DRAINING: types_pb2.WORKER_STATE_DRAINING,
}
_STATE_BACK = {wire: core for core, wire in _STATE.items()}


def sampling_to_pb(params: SamplingParams) -> types_pb2.SamplingParams:
    return types_pb2.SamplingParams(
        max_tokens=params.max_tokens,
        seed=params.seed,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        n=params.n,
        ignore_eos=params.ignore_eos,
    )


def sampling_from_pb(message: types_pb2.SamplingParams) -> SamplingParams:
    return SamplingParams(
        max_tokens=message.max_tokens,
        seed=message.seed,
        temperature=message.temperature,
        top_p=message.top_p,
        top_k=message.top_k,
        n=message.n,
        ignore_eos=message.ignore_eos,
    )


def record_to_pb(record: TokenRecord) -> types_pb2.TokenRecord:
    return types_pb2.TokenRecord(
        choice=record.choice,
        position=record.position,
        token_id=record.token_id,
        finish_reason=_FINISH[record.finish_reason],
    )


def record_from_pb(message: types_pb2.TokenRecord) -> TokenRecord:
    return TokenRecord(
        choice=message.choice,
        position=message.position,
        token_id=message.token_id,
        finish_reason=_FINISH_BACK[message.finish_reason],
    )


def records_to_pb(records: Iterable[TokenRecord]) -> list[types_pb2.TokenRecord]:
    return [record_to_pb(r) for r in records]


def records_from_pb(messages: Iterable[types_pb2.TokenRecord]) -> tuple[TokenRecord, ...]:
    return tuple(record_from_pb(m) for m in messages)


def layout_to_pb(layout: LayoutDescriptor) -> types_pb2.Layout:
    return types_pb2.Layout(
        num_layers=layout.num_layers,
        num_kv_heads=layout.num_kv_heads,
        head_dim=layout.head_dim,
        block_size=layout.block_size,
        dtype=layout.dtype,
    )


def layout_from_pb(message: types_pb2.Layout) -> LayoutDescriptor:
    return LayoutDescriptor(
        num_layers=message.num_layers,
        num_kv_heads=message.num_kv_heads,
        head_dim=message.head_dim,
        block_size=message.block_size,
        dtype=message.dtype,
    )


def fingerprint_to_pb(fingerprint: Fingerprint) -> types_pb2.Fingerprint:
    return types_pb2.Fingerprint(
        protocol=fingerprint.protocol,
        model_digest=fingerprint.model_digest,
        revision=fingerprint.revision,
        tokenizer_digest=fingerprint.tokenizer_digest,
        dtype=fingerprint.dtype,
        layout=layout_to_pb(fingerprint.layout),
        rope_digest=fingerprint.rope_digest,
        numeric_class=fingerprint.numeric_class,
    )


def fingerprint_from_pb(message: types_pb2.Fingerprint) -> Fingerprint:
    return Fingerprint(
        protocol=message.protocol,
        model_digest=message.model_digest,
        revision=message.revision,
        tokenizer_digest=message.tokenizer_digest,
        dtype=message.dtype,
        layout=layout_from_pb(message.layout),
        rope_digest=message.rope_digest,
        numeric_class=message.numeric_class,
    )


def epoch_to_pb(epoch: Epoch) -> types_pb2.Epoch:
    return types_pb2.Epoch(instance_id=epoch.instance_id, serial=epoch.serial)


def epoch_from_pb(message: types_pb2.Epoch) -> Epoch:
    return Epoch(message.instance_id, message.serial)


def handoff_to_pb(handoff: Handoff) -> decode_pb2.Handoff:
    return decode_pb2.Handoff(
        transfer_id=handoff.transfer_id,
        ticket=handoff.ticket,
        address=handoff.address,
        instance_id=handoff.instance_id,
    )


def handoff_from_pb(message: decode_pb2.Handoff) -> Handoff:
    return Handoff(message.transfer_id, message.ticket, message.address, message.instance_id)


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
    )


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
    )
