"""One step's tokens reach the stream together, and the end is told as it was."""

import asyncio

import pytest

from baton.core.errors import UnavailableError
from baton.core.token_record import TokenRecord
from baton.engine.work import Admitted, TokensDrawn, WorkDone, WorkFailed
from baton.worker.event_queue import TokenQueue


def records(*positions: int) -> tuple[TokenRecord, ...]:
    return tuple(TokenRecord(0, p, 7) for p in positions)


def drawn(*positions: int) -> TokensDrawn:
    return TokensDrawn(records(*positions))


async def test_a_sign_of_life_is_an_empty_batch() -> None:
    queue = TokenQueue()
    queue.put(TokensDrawn(()))
    batches = queue.batches()
    assert await anext(batches) == ()
    queue.put(TokensDrawn(()))
    queue.put(drawn(1))
    queue.put(WorkDone())
    assert [batch async for batch in batches] == [records(1)]


async def test_what_came_meanwhile_is_one_batch() -> None:
    queue = TokenQueue()
    batches = queue.batches()
    queue.put(drawn(1))
    assert await anext(batches) == records(1)
    queue.put(drawn(2))
    queue.put(drawn(3))
    queue.put(WorkDone())
    assert await anext(batches) == records(2, 3)
    assert [batch async for batch in batches] == []


async def test_the_admission_comes_before_the_tokens_that_came_with_it() -> None:
    queue = TokenQueue()
    queue.put(Admitted(16))
    queue.put(drawn(1))
    queue.put(WorkDone())
    assert [batch async for batch in queue.batches()] == [Admitted(16), records(1)]


async def test_tokens_before_a_failure_are_still_delivered() -> None:
    queue = TokenQueue()
    queue.put(drawn(1))
    queue.put(WorkFailed(UnavailableError("the engine has stopped")))
    batches = queue.batches()
    assert await asyncio.wait_for(anext(batches), 20) == records(1)
    with pytest.raises(UnavailableError, match="stopped"):
        await anext(batches)
