"""Many answers on one stream: a step is one message, nobody holds up another, the end is told twice."""

import asyncio

import pytest

from baton.core.errors import RequestError, UnavailableError
from baton.core.token_record import TokenRecord
from baton.engine.work import TokensDrawn, WorkDone, WorkFailed
from baton.v1 import decode_pb2 as pb
from decode_worker.listeners import Listener, Listeners, Voice
from decode_worker.listening import listen


def drawn(*positions: int) -> TokensDrawn:
    return TokensDrawn(tuple(TokenRecord(0, p, 7) for p in positions))


def positions(told: pb.Told) -> list[int]:
    return [record.position for event in told.events for record in event.tokens.records]


async def end_of(voice: Voice) -> None:
    async for _ in voice.own():
        raise AssertionError("all of it is told elsewhere")


async def test_what_a_step_made_ready_is_one_message() -> None:
    listener = Listener()
    messages = listener.messages()
    assert not (await anext(messages)).told
    with listener.voice(1) as one, listener.voice(2) as two:
        one.put(drawn(5))
        two.put(drawn(8))
        one.put(drawn(6))
        first = await anext(messages)
        assert {told.call: positions(told) for told in first.told} == {1: [5, 6], 2: [8]}
        two.put(WorkDone())
        (told,) = (await anext(messages)).told
        assert (told.call, told.last) == (2, True)
    await messages.aclose()


async def test_an_answer_ends_once_its_last_message_is_written() -> None:
    listener = Listener()
    messages = listener.messages()
    await anext(messages)
    with listener.voice(1) as voice:
        over = asyncio.create_task(end_of(voice))
        voice.put(drawn(5))
        voice.put(WorkDone())
        assert (await anext(messages)).told[0].last
        await asyncio.sleep(0)
        assert not over.done()  # gRPC has not taken it yet
        reading = asyncio.create_task(anext(messages))
        await asyncio.wait_for(over, 20)
        reading.cancel()


async def test_a_failure_is_the_calls_own_behind_what_was_drawn() -> None:
    listener = Listener()
    messages = listener.messages()
    await anext(messages)
    with listener.voice(1) as voice:
        voice.put(drawn(5))
        voice.put(WorkFailed(UnavailableError("the engine has stopped")))
        (told,) = (await anext(messages)).told
        assert positions(told) == [5]
        reading = asyncio.create_task(anext(messages))
        with pytest.raises(UnavailableError, match="the engine has stopped"):
            await asyncio.wait_for(end_of(voice), 20)
        reading.cancel()


async def test_a_call_that_is_paused_holds_up_nobody() -> None:
    listener = Listener()
    messages = listener.messages()
    await anext(messages)
    with listener.voice(1) as slow, listener.voice(2) as quick:
        slow.put(drawn(5))
        listener.pause(1)
        quick.put(drawn(8))
        slow.put(drawn(6))
        assert [told.call for told in (await anext(messages)).told] == [2]
        listener.resume(1)
        (told,) = (await anext(messages)).told
        assert (told.call, positions(told)) == (1, [5, 6])
    listener.pause(1)  # it is over: nothing happens
    listener.resume(1)


async def test_a_lost_listener_ends_what_is_told_there() -> None:
    listeners = Listeners()
    with listeners.opened("a") as listener, listener.voice(1) as voice:
        listener.lose()
        with pytest.raises(UnavailableError):
            await end_of(voice)
    assert listeners.find("a") is None


async def test_a_failure_that_nobody_waits_for_is_no_noise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Listener().voice(1) as voice:
        voice.fail(UnavailableError("x"))
    del voice
    await asyncio.sleep(0)
    assert not caplog.records


async def test_names_are_used_once() -> None:
    listeners = Listeners()
    with listeners.opened("a") as listener, listener.voice(1):
        with pytest.raises(RequestError), listeners.opened("a"):
            pass
        with pytest.raises(RequestError), listener.voice(1):
            pass
    with pytest.raises(RequestError), listeners.opened(""):
        pass


class Asks:
    """What a gateway asks, as it asks it."""

    def __init__(self, *asks: pb.ListenRequest) -> None:
        self._asks: asyncio.Queue[pb.ListenRequest | None] = asyncio.Queue()
        for ask in asks:
            self._asks.put_nowait(ask)

    def end(self) -> None:
        self._asks.put_nowait(None)

    def __aiter__(self) -> "Asks":
        return self

    async def __anext__(self) -> pb.ListenRequest:
        ask = await self._asks.get()
        if ask is None:
            raise StopAsyncIteration
        return ask


@pytest.mark.parametrize("who", ["worker", "gateway"])
async def test_the_stream_ends_behind_its_last_answer(who: str) -> None:
    listeners, leaves = Listeners(), asyncio.Event()
    asks = Asks(pb.ListenRequest(listener_id="a"))
    messages = listen(listeners, asks, leaves)
    await anext(messages)
    listener = listeners.find("a")
    assert listener is not None
    with listener.voice(1) as voice:
        if who == "worker":
            leaves.set()
        else:
            asks.end()
        await asyncio.sleep(0)
        voice.put(drawn(5))
        assert len((await anext(messages)).told) == 1
    async with asyncio.timeout(20):
        assert [message async for message in messages] == []
    assert listeners.find("a") is None


async def test_a_gateway_that_names_no_listener_is_refused() -> None:
    with pytest.raises(RequestError):
        await anext(listen(Listeners(), Asks(pb.ListenRequest(pause=1)), asyncio.Event()))
