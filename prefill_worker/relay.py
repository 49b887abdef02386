"""One prompt's engine events: to the lease at once, to the gateway's stream in order."""

import asyncio
from collections.abc import AsyncGenerator

from baton.core.errors import BatonError, TransferError
from baton.core.token_record import PromptLogprobs, TokenRecord
from baton.engine.work import (
    Admitted,
    BlocksLent,
    ChunkComputed,
    EngineEvent,
    PromptScored,
    TokensDrawn,
    WorkDone,
    WorkFailed,
)
from baton.rpc import wire
from baton.v1 import prefill_pb2 as pb
from kv_transfer.sending import Lease


class Relay:
    """The lease must not wait for a gateway that reads slowly, so the stream has a queue.

    It outlives the stream: blocks that were lent late still reach the lease, which gives them back.
    """

    def __init__(self, lease: Lease, num_tokens: int) -> None:
        """`num_tokens` are read: the prompt, and an answer that is continued."""
        self._lease = lease
        self._num_tokens = num_tokens
        self._read = False  # all of them
        self._responses: asyncio.Queue[pb.PrefillResponse | BatonError | None] = asyncio.Queue()

    def take(self, event: EngineEvent) -> None:
        match event:
            case Admitted():
                self._responses.put_nowait(_admitted(event))
            case BlocksLent(blocks):
                self._lease.blocks_lent(blocks, self._num_tokens)
            case ChunkComputed(num_tokens):
                self._lease.chunk_computed(num_tokens)
            case PromptScored(scores):
                self._responses.put_nowait(_scored(scores))
            case TokensDrawn(records):
                self._finish(records, any(r.finish_reason is None for r in records))
                self._responses.put_nowait(_tokens(records))
            case WorkFailed(error):
                self._lease.failed(error)
                self._responses.put_nowait(error)
            case WorkDone() if not self._read:
                self._finish((), True)  # for a search: whoever pulls draws
            case WorkDone():
                pass  # the lease goes on without the engine

    async def responses(self) -> AsyncGenerator[pb.PrefillResponse, None]:
        """Until the lease is over. Raises what the engine raised, TransferError when it was cut."""
        ended = asyncio.ensure_future(self._lease.ended())
        ended.add_done_callback(lambda _: self._responses.put_nowait(None))
        try:
            while (response := await self._responses.get()) is not None:
                if isinstance(response, BatonError):
                    raise response
                yield response
            if not self._read:
                raise TransferError("the hand-off was given up before the prompt was read")
            yield pb.PrefillResponse(released=pb.PrefillReleased(confirmed=ended.result()))
        finally:
            ended.cancel()

    def _finish(self, records: tuple[TokenRecord, ...], continuation: bool) -> None:
        self._read = True
        self._lease.finished(records, continuation)


def _admitted(event: Admitted) -> pb.PrefillResponse:
    admitted = pb.PrefillAdmitted(
        num_cached_tokens=event.num_cached_tokens, kv_number=event.kv_number
    )
    return pb.PrefillResponse(admitted=admitted)


def _scored(scores: PromptLogprobs) -> pb.PrefillResponse:
    return pb.PrefillResponse(prompt_logprobs=wire.prompt_logprobs_to_pb(scores))


def _tokens(records: tuple[TokenRecord, ...]) -> pb.PrefillResponse:
    return pb.PrefillResponse(tokens=pb.PrefillTokens(records=wire.records_to_pb(records)))
