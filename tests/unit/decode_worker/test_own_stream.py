"""One step's tokens reach the stream together, and the end is told as it was."""

import asyncio

import pytest

from baton.core.errors import UnavailableError
from baton.core.token_record import TokenLogprobs, TokenRecord
from baton.engine.work import Admitted, ChoiceLeft, TokensDrawn, WorkDone, WorkFailed
from baton.rpc import wire
from baton.v1 import decode_pb2 as pb
from decode_worker import portion
from decode_worker.own_stream import OwnStream


def records(*positions: int) -> tuple[TokenRecord, ...]:
    return tuple(TokenRecord(0, p, 7) for p in positions)


def drawn(*positions: int) -> TokensDrawn:
    return TokensDrawn(records(*positions))


def said(response: pb.GenerateResponse) -> tuple[TokenRecord, ...]:
    assert response.HasField("tokens")
    return wire.records_from_pb(response.tokens.records)


async def test_a_sign_of_life_is_an_empty_response() -> None:
    outlet = OwnStream()
    outlet.put(TokensDrawn(()))
    told = outlet.own()
    assert said(await anext(told)) == ()
    outlet.put(TokensDrawn(()))
    outlet.put(drawn(1))
    outlet.put(WorkDone())
    assert [said(response) async for response in told] == [records(1)]


async def test_what_came_meanwhile_is_one_response() -> None:
    outlet = OwnStream()
    told = outlet.own()
    outlet.put(drawn(1))
    assert said(await anext(told)) == records(1)
    outlet.put(drawn(2))
    outlet.put(drawn(3))
    outlet.put(WorkDone())
    assert said(await anext(told)) == records(2, 3)
    assert [response async for response in told] == []


async def test_what_waited_for_long_is_told_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portion, "MOST", 6)
    outlet, top = OwnStream(), ((7, -0.5), (8, -1.0))
    scored = tuple(TokenRecord(0, p, 7, logprobs=TokenLogprobs(-0.5, 1, top)) for p in range(3))
    for record in scored:
        outlet.put(TokensDrawn((record,)))
    for position in range(3, 7):
        outlet.put(drawn(position))
    outlet.put(WorkDone())
    told = [said(response) async for response in outlet.own()]
    assert told == [scored[:2], scored[2:] + records(3, 4, 5), records(6)]


async def test_order_is_kept() -> None:
    outlet = OwnStream()
    outlet.say(pb.GenerateResponse(transferred=pb.TransferReport(tokens=5)))
    for event in (Admitted(16), drawn(1), ChoiceLeft(0), WorkDone()):
        outlet.put(event)
    kinds = [response.WhichOneof("event") async for response in outlet.own()]
    assert kinds == ["transferred", "admitted", "tokens", "handed_over"]


async def test_tokens_before_a_failure_are_still_delivered() -> None:
    outlet = OwnStream()
    outlet.put(drawn(1))
    outlet.put(WorkFailed(UnavailableError("the engine has stopped")))
    told = outlet.own()
    assert said(await asyncio.wait_for(anext(told), 20)) == records(1)
    with pytest.raises(UnavailableError, match="stopped"):
        await anext(told)
