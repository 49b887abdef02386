"""The one translation between core types and protobuf messages."""

from collections.abc import Iterable

from baton.core.errors import RequestError
from baton.core.fingerprint import Fingerprint
from baton.core.handoff import Epoch, Handoff, PrefixSource
from baton.core.kv_events import KvChange
from baton.core.layout import LayoutDescriptor
from baton.core.prompt_images import ImageSpan, PromptImage
from baton.core.room import Room
from baton.core.sampling_params import (
    BeamSearch,
    Grammar,
    GrammarBackend,
    LogprobsMode,
    ProcessorCall,
    SamplingParams,
)
from baton.core.step_totals import StepSums, StepTotals
from baton.core.token_record import FinishReason, PromptLogprobs, TokenLogprobs, TokenRecord
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from baton.v1 import decode_pb2, prefill_pb2, types_pb2, worker_pb2

_FINISH = {
    None: types_pb2.FINISH_REASON_UNSPECIFIED,
    FinishReason.STOP: types_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: types_pb2.FINISH_REASON_LENGTH,
}
_FINISH_BACK = {wire: core for core, wire in _FINISH.items()}
_MODE = {
    LogprobsMode.RAW_LOGPROBS: types_pb2.LOGPROBS_MODE_UNSPECIFIED,
    LogprobsMode.RAW_LOGITS: types_pb2.LOGPROBS_MODE_RAW_LOGITS,
    LogprobsMode.PROCESSED_LOGPROBS: types_pb2.LOGPROBS_MODE_PROCESSED_LOGPROBS,
    LogprobsMode.PROCESSED_LOGITS: types_pb2.LOGPROBS_MODE_PROCESSED_LOGITS,
}
_MODE_BACK = {wire: core for core, wire in _MODE.items()}
_BACKEND = {
    GrammarBackend.GUIDANCE: types_pb2.GRAMMAR_BACKEND_UNSPECIFIED,
    GrammarBackend.XGRAMMAR: types_pb2.GRAMMAR_BACKEND_XGRAMMAR,
}
_BACKEND_BACK = {wire: core for core, wire in _BACKEND.items()}
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


def sampling_to_pb(params: SamplingParams) -> types_pb2.SamplingParams:
    return types_pb2.SamplingParams(
        max_tokens=params.max_tokens,
        seed=params.seed,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        n=params.n,
        ignore_eos=params.ignore_eos,
        min_p=params.min_p,
        min_tokens=params.min_tokens,
        stop_token_ids=params.stop_token_ids,
        repetition_penalty=params.repetition_penalty,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        logit_bias_ids=[token_id for token_id, _ in params.logit_bias],
        logit_bias_values=[value for _, value in params.logit_bias],
        allowed_token_ids=params.allowed_token_ids,
        bad_words=[types_pb2.TokenSequence(token_ids=word) for word in params.bad_words],
        logprobs=params.logprobs,
        prompt_logprobs=params.prompt_logprobs,
        logprobs_mode=_MODE[params.logprobs_mode],
        grammar=_grammar_to_pb(params.grammar),
        beam=_beam_to_pb(params.beam),
        processors=[
            types_pb2.ProcessorCall(qualname=call.qualname, args=call.args, kwargs=call.kwargs)
            for call in params.processors
        ],
        extra_args=params.extra_args,
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
        min_p=message.min_p,
        min_tokens=message.min_tokens,
        stop_token_ids=tuple(message.stop_token_ids),
        repetition_penalty=message.repetition_penalty,
        presence_penalty=message.presence_penalty,
        frequency_penalty=message.frequency_penalty,
        logit_bias=tuple(zip(message.logit_bias_ids, message.logit_bias_values, strict=True)),
        allowed_token_ids=tuple(message.allowed_token_ids),
        bad_words=tuple(tuple(word.token_ids) for word in message.bad_words),
        logprobs=message.logprobs if message.HasField("logprobs") else None,
        prompt_logprobs=message.prompt_logprobs if message.HasField("prompt_logprobs") else None,
        logprobs_mode=_MODE_BACK[message.logprobs_mode],
        grammar=_grammar_from_pb(message.grammar) if message.HasField("grammar") else None,
        beam=BeamSearch(message.beam.length_penalty) if message.HasField("beam") else None,
        processors=tuple(ProcessorCall(c.qualname, c.args, c.kwargs) for c in message.processors),
        extra_args=message.extra_args,
    )


def _grammar_to_pb(grammar: Grammar | None) -> types_pb2.Grammar | None:
    if grammar is None:
        return None
    return types_pb2.Grammar(
        text=grammar.text, after=grammar.after, backend=_BACKEND[grammar.backend]
    )


def _grammar_from_pb(message: types_pb2.Grammar) -> Grammar:
    return Grammar(message.text, tuple(message.after), _BACKEND_BACK[message.backend])


def _beam_to_pb(beam: BeamSearch | None) -> types_pb2.BeamSearch | None:
    return None if beam is None else types_pb2.BeamSearch(length_penalty=beam.length_penalty)


def record_to_pb(record: TokenRecord) -> types_pb2.TokenRecord:
    return types_pb2.TokenRecord(
        choice=record.choice,
        position=record.position,
        token_id=record.token_id,
        finish_reason=_FINISH[record.finish_reason],
        logprobs=None if record.logprobs is None else _logprobs_to_pb(record.logprobs),
    )


def record_from_pb(message: types_pb2.TokenRecord) -> TokenRecord:
    return TokenRecord(
        choice=message.choice,
        position=message.position,
        token_id=message.token_id,
        finish_reason=_FINISH_BACK[message.finish_reason],
        logprobs=_logprobs_from_pb(message.logprobs) if message.HasField("logprobs") else None,
    )


def _logprobs_to_pb(logprobs: TokenLogprobs) -> types_pb2.TokenLogprobs:
    return types_pb2.TokenLogprobs(
        logprob=logprobs.logprob,
        rank=logprobs.rank,
        top_ids=[token_id for token_id, _ in logprobs.top],
        top_logprobs=[value for _, value in logprobs.top],
    )


def _logprobs_from_pb(message: types_pb2.TokenLogprobs) -> TokenLogprobs:
    top = tuple(zip(message.top_ids, message.top_logprobs, strict=True))
    return TokenLogprobs(message.logprob, message.rank, top)


def prompt_logprobs_to_pb(scores: PromptLogprobs) -> types_pb2.PromptLogprobs:
    return types_pb2.PromptLogprobs(
        start=scores.start, entries=[_logprobs_to_pb(entry) for entry in scores.entries]
    )


def prompt_logprobs_from_pb(message: types_pb2.PromptLogprobs) -> PromptLogprobs:
    return PromptLogprobs(message.start, tuple(map(_logprobs_from_pb, message.entries)))


def records_to_pb(records: Iterable[TokenRecord]) -> list[types_pb2.TokenRecord]:
    return [record_to_pb(r) for r in records]


def records_from_pb(messages: Iterable[types_pb2.TokenRecord]) -> tuple[TokenRecord, ...]:
    return tuple([record_from_pb(m) for m in messages])


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


def prefix_source_to_pb(source: PrefixSource) -> prefill_pb2.PrefixSource:
    return prefill_pb2.PrefixSource(
        transfer_id=source.handoff.transfer_id,
        ticket=source.handoff.ticket,
        address=source.handoff.address,
        instance_id=source.handoff.instance_id,
        num_tokens=source.num_tokens,
    )


def prefix_source_from_pb(message: prefill_pb2.PrefixSource) -> PrefixSource:
    handoff = Handoff(message.transfer_id, message.ticket, message.address, message.instance_id)
    return PrefixSource(handoff, message.num_tokens)


def encoded_to_pb(handoff: Handoff) -> types_pb2.EncodedImages:
    """The hand-off that a prompt's images come by."""
    return types_pb2.EncodedImages(
        transfer_id=handoff.transfer_id,
        ticket=handoff.ticket,
        address=handoff.address,
        instance_id=handoff.instance_id,
    )


def encoded_from_pb(message: types_pb2.EncodedImages) -> Handoff:
    return Handoff(message.transfer_id, message.ticket, message.address, message.instance_id)


def images_to_pb(images: Iterable[PromptImage], *, with_data: bool) -> list[types_pb2.PromptImage]:
    return [
        types_pb2.PromptImage(
            start=image.span.start,
            rows=image.span.rows,
            columns=image.span.columns,
            digest=image.span.digest,
            data=image.data if with_data else b"",
            processing=image.processing,
        )
        for image in images
    ]


def images_from_pb(messages: Iterable[types_pb2.PromptImage]) -> tuple[PromptImage, ...]:
    return tuple(
        PromptImage(
            ImageSpan(message.start, message.rows, message.columns, message.digest),
            message.data,
            message.processing,
        )
        for message in messages
    )


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


def room_to_pb(room: Room) -> types_pb2.Room:
    return types_pb2.Room(
        number=room.number,
        free_blocks=room.free_blocks,
        lacks=room.lacks,
        seats=room.seats or 0,
        seated=[types_pb2.Seated(priority=p, choices=count) for p, count in room.seated],
        yielding=[types_pb2.Yielding(priority=p, blocks=count) for p, count in room.yielding],
    )


def room_from_pb(message: types_pb2.Room) -> Room:
    return Room(
        number=message.number,
        free_blocks=message.free_blocks,
        lacks=message.lacks if message.HasField("lacks") else None,
        seats=message.seats or None,
        seated=tuple((one.priority, one.choices) for one in message.seated),
        yielding=tuple((one.priority, one.blocks) for one in message.yielding),
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
