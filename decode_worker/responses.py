"""What the engine says of an answer, in the wire's words."""

from collections.abc import Iterator, Sequence

from baton.core.token_record import TokenRecord
from baton.engine.work import Admitted, ChoiceLeft, EngineEvent, PromptScored, TokensDrawn
from baton.rpc import wire
from baton.v1 import decode_pb2 as pb
from kv_transfer.pulling import Pulled


def responses_of(events: Sequence[EngineEvent]) -> Iterator[pb.GenerateResponse]:
    """The admission, the prompt's scores, what has been drawn, which choices have left behind that.
    All that was drawn meanwhile is one response; of a search it may be empty: a sign of life.
    """
    for event in events:
        if isinstance(event, Admitted):
            yield _admitted(event)
        elif isinstance(event, PromptScored):
            scores = wire.prompt_logprobs_to_pb(event.scores)
            yield pb.GenerateResponse(prompt_logprobs=scores)
    drawn = [event.records for event in events if isinstance(event, TokensDrawn)]
    if drawn:
        yield tokens_response([record for records in drawn for record in records])
    for event in events:
        if isinstance(event, ChoiceLeft):
            left = pb.GenerateHandedOver(choice=event.choice)
            yield pb.GenerateResponse(handed_over=left)


def tokens_response(records: Sequence[TokenRecord]) -> pb.GenerateResponse:
    return pb.GenerateResponse(tokens=pb.GenerateTokens(records=wire.records_to_pb(records)))


def _admitted(event: Admitted) -> pb.GenerateResponse:
    admitted = pb.GenerateAdmitted(
        num_cached_tokens=event.num_cached_tokens, kv_number=event.kv_number
    )
    return pb.GenerateResponse(admitted=admitted)


def transferred_response(pulled: Pulled) -> pb.GenerateResponse:
    """What the hand-off cost."""
    timing = pulled.timing
    report = pb.TransferReport(
        bytes=pulled.bytes,
        tokens=pulled.num_tokens - pulled.held_tokens,
        cached_tokens=pulled.held_tokens,
        transport=pulled.transport,
        milliseconds=timing.total_ms,
        exposed_ms=timing.exposed_ms,
        computed_ms=timing.computed_ms,
        segments=[
            pb.SegmentTiming(
                first_block=segment.first_block,
                num_blocks=segment.num_blocks,
                ready_ms=segment.ready_ms,
                start_ms=segment.start_ms,
                end_ms=segment.end_ms,
            )
            for segment in timing.segments
        ],
        repaired_blocks=pulled.repaired_blocks,
    )
    return pb.GenerateResponse(transferred=report)
