"""One turn of a conversation as a gateway has it done that knows who may have its beginning."""

import asyncio
from dataclasses import dataclass
from typing import Any

from baton.core.handoff import PrefixSource
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.rpc import wire
from tests.support.worker_pair import (
    Served,
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
)


@dataclass(frozen=True, slots=True)
class Turn:
    cached: int  # tokens of the prompt, as prefill told when it began
    moved: int  # of them, those that came from the other worker
    answer: tuple[tuple[TokenRecord, ...], ...]  # by choice

    def then(self, prompt: tuple[int, ...], *more: int) -> tuple[int, ...]:
        """The next turn's prompt: all of it, the first answer, and what is asked then."""
        return (*prompt, *(record.token_id for record in self.answer[0]), *more)


def source_of(lender: Served, num_tokens: int = 1 << 20) -> PrefixSource:
    """`num_tokens`: the most that it may have."""
    return PrefixSource(handoff_to(lender), num_tokens)


async def turn(
    prefill: Served,
    decode: Served,
    prompt: tuple[int, ...],
    params: SamplingParams,
    source: PrefixSource | None = None,
    cache_salt: str = "",
    tenant: str = "",
) -> Turn:
    """Raises what the calls raise; the lease is over and was confirmed when it returns."""
    handoff = handoff_to(prefill)
    asked = generate_request(handoff, prompt, params)
    read = prefill_request(handoff, prompt, params)
    for request in (asked, read):
        request.cache_salt, request.tenant = cache_salt, tenant
    if source is not None:
        read.prefix.CopyFrom(wire.prefix_source_to_pb(source))
    answer = aiter(decode.generate(asked))
    assert (await anext(answer)).HasField("reserved")
    reading = asyncio.ensure_future(_drained(prefill.prefill(read)))
    records = [r async for m in answer for r in wire.records_from_pb(m.tokens.records)]
    responses = await asyncio.wait_for(reading, 30)
    assert responses[-1].released.confirmed
    admitted = next(r.admitted for r in responses if r.HasField("admitted"))
    moved = sum(r.prefix_pulled.tokens for r in responses)
    return Turn(admitted.num_cached_tokens, moved, by_choice(records, params.n))


async def _drained(call: Any) -> list[Any]:
    return [response async for response in call]
