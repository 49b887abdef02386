"""What a gateway does that moves a running answer from one decode worker to another."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from baton.core.handoff import Handoff
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.rpc import wire
from tests.support.worker_pair import (
    Served,
    generate_request,
    hand_over_request,
    handoff_to,
)


class Stream:
    """A Generate call with its messages read on demand; `records` and `left` grow with them."""

    def __init__(self, call: Any, request_id: str) -> None:
        self.call = call
        self.request_id = request_id
        self.records: list[TokenRecord] = []
        self.left: list[int] = []  # choices that were handed over, in order
        self.events: list[str] = []
        self.report: Any = None  # of the hand-off that it began with
        self._responses = aiter(call)

    def of(self, choice: int = 0) -> tuple[TokenRecord, ...]:
        return tuple(r for r in self.records if r.choice == choice)

    def ids(self, choice: int = 0) -> tuple[int, ...]:
        return tuple(r.token_id for r in self.of(choice))

    async def until(self, holds: Callable[["Stream"], bool]) -> None:
        """Reads on until `holds`, or raises what the call raises."""
        async with asyncio.timeout(30):
            while not holds(self):
                self._take(await anext(self._responses))

    async def whole(self) -> None:
        async with asyncio.timeout(60):
            async for response in self._responses:
                self._take(response)

    def _take(self, response: Any) -> None:
        event = response.WhichOneof("event")
        self.events.append(event)
        self.records += wire.records_from_pb(response.tokens.records)
        if event == "transferred":
            self.report = response.transferred
        if event == "handed_over":
            self.left.append(response.handed_over.choice)


async def begun(
    served: Served, prompt: tuple[int, ...], params: SamplingParams, tokens: int
) -> Stream:
    """An answer in progress: each choice has at least `tokens` tokens."""
    request = generate_request(None, prompt, params)
    stream = Stream(served.generate(request), request.request_id)
    await stream.until(lambda s: all(len(s.of(c)) >= tokens for c in range(params.n)))
    return stream


async def reserved(
    target: Served,
    handoff: Handoff | None,
    prompt: tuple[int, ...],
    params: SamplingParams,
    answered: tuple[int, ...],
    choice: int = 0,
) -> Stream:
    """The other worker waits for the choice, or reads what is known where there is no hand-off."""
    alone = replace(params, n=1, seed=params.seed + choice)
    request = generate_request(handoff, prompt, alone, answered)
    stream = Stream(target.generate(request), request.request_id)
    await stream.until(lambda s: s.events == ["reserved"])
    return stream


async def move(
    source: Served,
    target: Served,
    stream: Stream,
    prompt: tuple[int, ...],
    params: SamplingParams,
    choice: int = 0,
    forgets: int = 0,
) -> Stream:
    """Moves a choice of `stream` to `target`, and returns its stream there once the lease is over.

    `forgets`: so many of its last tokens are not told to the target, as if they had not come yet.
    """
    handoff = handoff_to(source)
    told = stream.ids(choice)
    answered = told[: len(told) - forgets]
    there = await reserved(target, handoff, prompt, params, answered, choice)
    over = source.hand_over(hand_over_request(handoff, stream.request_id, choice))
    lent, released = await asyncio.wait_for(_read(over), 30)
    assert lent.lent.num_tokens >= len(prompt) + len(told)
    assert released.released.confirmed
    return there


async def _read(call: Any) -> list[Any]:
    return [response async for response in call]
