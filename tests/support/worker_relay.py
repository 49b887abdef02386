"""What a gateway does with two workers, without its care: reserve, prefill, read the answer."""

import asyncio
from dataclasses import dataclass
from typing import Any

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.rpc import wire
from baton.v1 import decode_pb2
from tests.support.worker_pair import (
    Served,
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
)


@dataclass(frozen=True, slots=True)
class Relayed:
    answer: tuple[tuple[TokenRecord, ...], ...]  # by choice
    report: decode_pb2.TransferReport


async def relay(
    prefill: Served, decode: Served, prompt: tuple[int, ...], params: SamplingParams
) -> Relayed:
    """Raises AioRpcError of whichever call failed, decode's first."""
    handoff = handoff_to(prefill)
    generation = aiter(decode.generate(generate_request(handoff, prompt, params)))
    assert (await anext(generation)).HasField("reserved")
    reading = asyncio.ensure_future(
        drain(prefill.prefill(prefill_request(handoff, prompt, params)))
    )
    try:
        responses = await drain(generation)
    finally:
        await asyncio.wait([reading], timeout=10)
    reading.result()
    records = [r for response in responses for r in wire.records_from_pb(response.tokens.records)]
    (report,) = [response.transferred for response in responses if response.HasField("transferred")]
    return Relayed(by_choice(records, params.n), report)


async def drain(call: Any) -> list[Any]:
    return [response async for response in call]
