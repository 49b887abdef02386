"""Token records and log-probabilities."""

from collections.abc import Iterable

from baton.core.token_record import FinishReason, PromptLogprobs, TokenLogprobs, TokenRecord
from baton.v1 import types_pb2

_FINISH = {
    None: types_pb2.FINISH_REASON_UNSPECIFIED,
    FinishReason.STOP: types_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: types_pb2.FINISH_REASON_LENGTH,
}
_FINISH_BACK = {wire: core for core, wire in _FINISH.items()}


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


def records_to_pb(records: Iterable[TokenRecord]) -> list[types_pb2.TokenRecord]:
    return [record_to_pb(r) for r in records]


def records_from_pb(messages: Iterable[types_pb2.TokenRecord]) -> tuple[TokenRecord, ...]:
    return tuple([record_from_pb(m) for m in messages])


def prompt_logprobs_to_pb(scores: PromptLogprobs) -> types_pb2.PromptLogprobs:
    return types_pb2.PromptLogprobs(
        start=scores.start, entries=[_logprobs_to_pb(entry) for entry in scores.entries]
    )


def prompt_logprobs_from_pb(message: types_pb2.PromptLogprobs) -> PromptLogprobs:
    return PromptLogprobs(message.start, tuple(map(_logprobs_from_pb, message.entries)))


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
