"""Many answers on one stream: a step is one message, nobody holds up another, each ends in its own way."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping

import pytest

from baton.core.errors import BatonError, InternalError, RequestError, UnavailableError
from baton.core.token_record import TokenRecord
from baton.engine.work import TokensDrawn, WorkDone, WorkFailed
from baton.rpc import wire
from baton.telemetry.request_context import begin_request, current_request
from baton.v1 import decode_pb2 as pb
from decode_worker import portion
from decode_worker.conversation import Conversation
from decode_worker.conversing import converse
from decode_worker.outlet import Outlet

RESERVED = pb.GenerateResponse(reserved=pb.GenerateReserved())
FINISHED = pb.GenerateResponse(finished=pb.GenerateFinished())


def drawn(*positions: int) -> TokensDrawn:
    return TokensDrawn(tuple(TokenRecord(0, p, 7) for p in positions))


def positions(told: pb.Told) -> list[int]:
    return [record.position for event in told.events for record in event.tokens.records]


def kinds(told: pb.Told) -> list[str | None]:
    return [event.WhichOneof("event") for event in told.events]


class FakeWriter:
    """Writes what a test puts into the outlets."""

    def __init__(self) -> None:
        self.outlets: dict[str, Outlet] = {}
        self.ended: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self.before: Callable[[], None] = lambda: None
        self._changed = asyncio.Condition()

    async def generate(
        self, request: pb.GenerateRequest, metadata: Mapping[str, str], outlet: Outlet
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        name = request.request_id
        self.metadata.append(dict(metadata))
        try:
            self.before()
            yield RESERVED
            self.outlets[name] = outlet
            await self._note()
            async for response in outlet.own():
                yield response
        finally:
            self.ended.append(name)
            await self._note()
        yield FINISHED

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(holds)

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Asking:
    """A conversation whose first answers are asked for, and their `Reserved` read."""

    def __init__(self, *names: str) -> None:
        self.writer = FakeWriter()
        self.conversation = Conversation(self.writer.generate)
        self.messages = self.conversation.messages()
        self._names = names

    async def __aenter__(self) -> "Asking":
        assert not (await self.next())
        for call, name in enumerate(self._names, 1):
            self.ask(call, name)
        if self._names:
            told = await self.next()
            assert [kinds(one) for one in told] == [["reserved"]] * len(self._names)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.messages.aclose()
        await self.conversation.drop()

    def ask(self, call: int, name: str) -> None:
        request = pb.GenerateRequest(request_id=name)
        self.conversation.begin(pb.Ask(call=call, request=request, metadata={"traceparent": name}))

    async def next(self) -> list[pb.Told]:
        async with asyncio.timeout(20):
            return list((await anext(self.messages)).told)

    def outlet(self, name: str) -> Outlet:
        return self.writer.outlets[name]


async def test_what_a_step_made_ready_is_one_message_and_an_answers_end_comes_with_it() -> None:
    async with Asking("a", "b") as asking:
        assert asking.writer.metadata == [{"traceparent": "a"}, {"traceparent": "b"}]
        asking.outlet("a").put(drawn(5))
        asking.outlet("b").put(drawn(8))
        asking.outlet("a").put(drawn(6))
        told = await asking.next()
        assert {one.call: positions(one) for one in told} == {1: [5, 6], 2: [8]}
        assert not any(one.last for one in told)
        asking.outlet("b").put(drawn(9))
        asking.outlet("b").put(WorkDone())
        (one,) = await asking.next()
        assert (one.call, kinds(one), one.last) == (2, ["tokens", "finished"], True)
        assert not one.HasField("fault")


async def test_what_is_said_keeps_its_place_among_what_is_put() -> None:
    async with Asking("a") as asking:
        asking.outlet("a").put(drawn(5))
        asking.outlet("a").say(FINISHED)
        asking.outlet("a").put(drawn(6))
        (told,) = await asking.next()
        assert kinds(told) == ["tokens", "finished", "tokens"]


async def test_a_failure_comes_behind_what_was_drawn() -> None:
    async with Asking("a") as asking:
        asking.outlet("a").put(drawn(5))
        asking.outlet("a").put(WorkFailed(UnavailableError("the engine has stopped")))
        (told,) = await asking.next()
        assert (positions(told), told.last) == ([5], True)
        error = wire.fault_from_pb(told.fault)
        assert type(error) is UnavailableError
        assert str(error) == "the engine has stopped"


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (RequestError("no such thing", "logit_bias"), RequestError("no such thing", "logit_bias")),
        (RequestError("no such thing"), RequestError("no such thing")),
        (ValueError("a bug"), InternalError("internal error")),
        (asyncio.CancelledError(), UnavailableError("the worker gave the call up")),
    ],
)
async def test_a_call_that_raises_is_told_as_a_stream_of_its_own_would_end(
    raised: BaseException, told: BatonError
) -> None:
    def refuse() -> None:
        raise raised

    async with Asking() as asking:
        asking.writer.before = refuse
        asking.ask(1, "a")
        (one,) = await asking.next()
        assert (kinds(one), one.last) == ([], True)
        error = wire.fault_from_pb(one.fault)
        assert (type(error), str(error)) == (type(told), str(told))
        assert getattr(error, "param", None) == getattr(told, "param", None)


async def test_a_call_that_is_paused_holds_up_nobody() -> None:
    async with Asking("slow", "quick") as asking:
        asking.outlet("slow").put(drawn(5))
        asking.conversation.pause(1)
        asking.outlet("quick").put(drawn(8))
        asking.outlet("slow").put(drawn(6))
        asking.outlet("slow").put(WorkDone())
        assert [told.call for told in await asking.next()] == [2]
        asking.conversation.resume(1)
        (told,) = await asking.next()
        assert (told.call, positions(told), told.last) == (1, [5, 6], True)
        asking.conversation.pause(1)  # it is over: nothing happens
        asking.conversation.resume(1)
        asking.conversation.cancel(1)


async def test_what_was_kept_for_long_is_told_in_portions_and_the_last_word_with_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(portion, "MOST", 4)
    async with Asking("slow", "slower") as asking:
        for call, name in enumerate(("slow", "slower"), 1):
            asking.conversation.pause(call)
            for position in range(5):
                asking.outlet(name).put(drawn(position))
            asking.outlet(name).put(WorkDone())
        await asking.writer.until(lambda: sorted(asking.writer.ended) == ["slow", "slower"])
        asking.conversation.resume(1)
        asking.conversation.resume(2)
        told = [await asking.next() for _ in range(3)]
        assert [[(one.call, positions(one), one.last) for one in many] for many in told] == [
            [(1, [0, 1, 2, 3], False)],
            [(1, [4], True), (2, [0, 1], False)],
            [(2, [2, 3, 4], True)],
        ]


async def test_a_cancelled_call_is_dropped_and_nothing_more_is_told_of_it() -> None:
    async with Asking("a", "b") as asking:
        asking.outlet("a").put(drawn(5))
        asking.conversation.cancel(1)
        await asking.writer.until(lambda: asking.writer.ended == ["a"])
        asking.outlet("b").put(drawn(8))
        assert [told.call for told in await asking.next()] == [2]


async def test_a_call_works_for_no_request_of_whoever_asked() -> None:
    seen: list[object] = []
    begin_request("another")
    async with Asking() as asking:
        asking.writer.before = lambda: seen.append(current_request())
        asking.ask(1, "a")
        await asking.next()
    assert seen == [None]


async def test_a_name_that_is_taken_is_not_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    async with Asking("a") as asking:
        asking.ask(1, "b")
        asking.outlet("a").put(WorkDone())
        (told,) = await asking.next()
        assert told.last
    assert asking.writer.ended == ["a"]
    assert "asked for twice" in caplog.text


class Wants:
    """What a gateway wants, as it wants it."""

    def __init__(self, *wants: pb.ConverseRequest) -> None:
        self._wants: asyncio.Queue[pb.ConverseRequest | None] = asyncio.Queue()
        for want in wants:
            self._wants.put_nowait(want)

    def want(self, **want: int) -> None:
        self._wants.put_nowait(pb.ConverseRequest(**want))  # type: ignore[arg-type]

    def end(self) -> None:
        self._wants.put_nowait(None)

    def __aiter__(self) -> "Wants":
        return self

    async def __anext__(self) -> pb.ConverseRequest:
        want = await self._wants.get()
        if want is None:
            raise StopAsyncIteration
        return want


def asking_for(name: str, call: int) -> pb.ConverseRequest:
    request = pb.GenerateRequest(request_id=name)
    return pb.ConverseRequest(ask=pb.Ask(call=call, request=request))


@pytest.mark.parametrize("who", ["worker", "gateway"])
async def test_the_stream_ends_behind_its_last_answer(who: str) -> None:
    writer, leaves = FakeWriter(), asyncio.Event()
    wants = Wants(asking_for("a", 1))
    messages = converse(writer.generate, wants, leaves)
    assert not (await anext(messages)).told
    assert kinds((await anext(messages)).told[0]) == ["reserved"]
    if who == "worker":
        leaves.set()
    else:
        wants.end()
    await writer.until(lambda: "a" in writer.outlets)
    writer.outlets["a"].put(drawn(5))
    writer.outlets["a"].put(WorkDone())
    async with asyncio.timeout(20):
        assert [kinds(m.told[0]) async for m in messages] == [["tokens", "finished"]]


async def test_a_stream_that_is_closed_drops_what_is_written_on_it() -> None:
    writer = FakeWriter()
    wants = Wants(asking_for("a", 1), asking_for("b", 2))
    messages = converse(writer.generate, wants, asyncio.Event())
    await anext(messages)
    await writer.until(lambda: len(writer.outlets) == 2)
    wants.want(cancel=2)
    await writer.until(lambda: writer.ended == ["b"])
    await messages.aclose()
    assert writer.ended == ["b", "a"]
