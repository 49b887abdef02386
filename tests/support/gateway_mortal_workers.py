"""Scripted workers that know a whole answer, continue it from any token, and die when told to."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from baton.core.errors import BatonError, InternalError, TransferError, UnavailableError
from baton.core.token_record import FinishReason, PromptLogprobs, TokenLogprobs, TokenRecord
from baton.rpc.wire import prompt_logprobs_to_pb
from baton.v1 import decode_pb2, prefill_pb2
from tests.support.gateway_cluster import GatewayUnderTest
from tests.support.gateway_fake_workers import (
    ADMITTED,
    ADMITTED_ALONE,
    FINISHED,
    RELEASED,
    RESERVED,
    decoded,
    prefilled,
)

Row = list[TokenRecord]  # of one position


class FakeModel:
    """Answers by the seed that a choice draws with. Told a beginning, it goes on behind it, and a
    beginning that it would not have drawn is a fault.
    """

    def __init__(
        self, answers: Mapping[int, Sequence[int]], finish: FinishReason = FinishReason.STOP
    ) -> None:
        self._answers = answers
        self._finish = finish

    def rows(
        self, prompt: int, seed: int, n: int, answered: Sequence[int], scored: bool
    ) -> list[Row]:
        """`prompt`: tokens of it. What comes behind the answered tokens, step by step."""
        if answered and n != 1:
            raise InternalError("only one choice can be continued")
        columns = [self._column(prompt, seed, c, answered, scored) for c in range(n)]
        rows = itertools.zip_longest(*columns)
        return [[record for record in row if record is not None] for row in rows]

    def _column(
        self, prompt: int, seed: int, choice: int, answered: Sequence[int], scored: bool
    ) -> Row:
        ids = self._answers[(seed + choice + 2**63) % 2**64 - 2**63]
        start = len(answered)
        if list(answered) != list(ids[:start]) or start >= len(ids):
            raise InternalError(f"{answered} is no beginning of {ids}")
        return [
            TokenRecord(
                choice,
                prompt + i,
                ids[i],
                self._finish if i == len(ids) - 1 else None,
                TokenLogprobs(-float(i), 1 + i, ((ids[i], -float(i)),)) if scored else None,
            )
            for i in range(start, len(ids))
        ]


class _Relay:
    """What a decode worker hears of a prefill worker."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.told = False  # the first token

    async def has_come(self) -> bool:
        await self.over.wait()
        return self.told


class MortalWorkers:
    """Scripts for fake workers: what each call to a decode worker, and to a prefill worker, tells
    before it breaks. A call for which no death is left lives.
    """

    def __init__(self, model: FakeModel, error: BatonError | None = None) -> None:
        self.model = model
        self.error = error or UnavailableError("gone")
        self.decode_deaths: deque[int | None] = deque()  # steps told before
        self.prefill_deaths: deque[bool] = deque()  # True: before its first token
        self.unscored_deaths: deque[bool] = deque()  # True: amid the prompt's log-probabilities
        self.before_death: Callable[[], Awaitable[None]] | None = None  # of a decode worker's call
        self._relays: dict[str, _Relay] = {}  # by transfer id

    def serve(self, gateway: GatewayUnderTest) -> None:
        for worker in gateway.workers:
            worker.decode_script, worker.prefill_script = self.decode, self.prefill

    async def decode(self, request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
        deaths = self.decode_deaths
        steps = deaths.popleft() if deaths else None
        yield RESERVED
        if not request.HasField("handoff"):
            yield ADMITTED_ALONE
        elif not await self._relay(request.handoff.transfer_id).has_come():
            raise TransferError("the hand-off is over")
        for row in self.rows(request)[:steps]:
            yield decoded(row)
        if steps is not None:
            if self.before_death is not None:
                await self.before_death()
            raise self.error
        yield FINISHED

    async def prefill(self, request: Any) -> AsyncIterator[prefill_pb2.PrefillResponse]:
        relay = self._relay(request.transfer_id)
        dies = self.prefill_deaths.popleft() if self.prefill_deaths else False
        try:
            yield ADMITTED
            if dies:
                raise self.error
            if request.sampling.HasField("prompt_logprobs"):
                async for scores in self._scores(request):
                    yield scores
            yield prefilled(self.rows(request)[0])
            relay.told = True
        finally:
            relay.over.set()
        yield RELEASED

    def _relay(self, transfer_id: str) -> "_Relay":
        return self._relays.setdefault(transfer_id, _Relay())

    async def _scores(self, request: Any) -> AsyncIterator[prefill_pb2.PrefillResponse]:
        dies = self.unscored_deaths.popleft() if self.unscored_deaths else False
        for position in range(1, len(request.prompt_token_ids)):
            scores = PromptLogprobs(position, (TokenLogprobs(-0.5 * position, 1),))
            yield prefill_pb2.PrefillResponse(prompt_logprobs=prompt_logprobs_to_pb(scores))
            if dies:
                raise self.error

    def rows(self, request: Any) -> list[Row]:
        sampling = request.sampling
        return self.model.rows(
            len(request.prompt_token_ids),
            sampling.seed,
            sampling.n,
            request.answered_token_ids,
            sampling.HasField("logprobs"),
        )
