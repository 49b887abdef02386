"""Workers that refuse, break or contradict each other, and clients that leave."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from baton.core.errors import RefusedError, RequestError, TransferError, UnavailableError
from baton.core.worker_info import Role
from baton.v1 import decode_pb2, prefill_pb2
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import (
    ADMITTED,
    FINISHED,
    RELEASED,
    RESERVED,
    answering,
    decoded,
    prefilled,
    prefilling,
    records,
)
from tests.support.gateway_members import make_load
from tests.support.gateway_reading import CHAT, HI, events
from tests.support.not_reading import not_reading

Generated = AsyncIterator[decode_pb2.GenerateResponse]
Prefilled = AsyncIterator[prefill_pb2.PrefillResponse]


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        yield gateway
        await gateway.until_idle()


def ask(gateway: GatewayUnderTest, **fields: Any) -> "asyncio.Task[httpx.Response]":
    body = {"messages": HI, **fields}
    return asyncio.create_task(gateway.client.post(CHAT, json=body))


async def reserving_for_ever(request: decode_pb2.GenerateRequest) -> Generated:
    yield RESERVED
    await asyncio.Event().wait()


async def prefilling_for_ever(request: prefill_pb2.PrefillRequest) -> Prefilled:
    yield ADMITTED
    await asyncio.Event().wait()


async def refusing(request: decode_pb2.GenerateRequest) -> Generated:
    raise RefusedError("full")
    yield RESERVED


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("computing", [True, False])
async def test_a_client_that_leaves_cancels_both_workers(
    served: GatewayUnderTest, stream: bool, computing: bool
) -> None:
    prefill, decode = served.workers
    decode.decode_script = reserving_for_ever
    if computing:
        prefill.prefill_script = prefilling_for_ever
    asking = ask(served, stream=stream)
    prefill_call = await prefill.calls.number(0)
    decode_call = await decode.calls.number(0)
    asking.cancel()
    async with asyncio.timeout(10):
        await decode_call.cancelled.wait()
        if computing:
            await prefill_call.cancelled.wait()
    await served.until_idle()
    page = (await served.client.get("/metrics")).text
    assert 'finished_reason="abort",model_name="tiny"} 1.0' in page


async def test_a_client_that_leaves_mid_stream_cancels_decode(served: GatewayUnderTest) -> None:
    decode = served.workers[1]
    decode.decode_script = reserving_for_ever
    body = {"messages": HI, "stream": True}
    async with served.client.stream("POST", CHAT, json=body) as response:
        async for _ in response.aiter_text():
            break
    async with asyncio.timeout(10):
        await (await decode.calls.number(0)).cancelled.wait()


async def test_a_client_that_leaves_the_queue_asks_nothing_of_workers(
    served: GatewayUnderTest,
) -> None:
    decode = served.workers[1]
    await decode.set_load(make_load(free=0))
    await served.until(
        lambda: served.gateway.models.first.workers.all()[0].load == make_load(free=0)
    )
    asking = ask(served)
    await served.until_queued(1)
    asking.cancel()
    await served.until_queued(0)
    assert decode.calls.all == []


async def test_when_decode_refuses_another_one_is_asked(served: GatewayUnderTest) -> None:
    served.workers[1].decode_script = refusing
    other = await served.join("d1", Role.DECODE)
    response = await ask(served)
    assert response.status_code == 200
    assert len(served.workers[1].calls.all) == 1
    assert other.calls.all[0].request.attempt == 2
    # The scripted decode answers without a hand-off: prefill may be asked after the answer.
    assert (await served.workers[0].calls.number(0)).request.attempt == 2


async def test_when_the_only_decode_refuses_the_request_waits_for_a_change(
    served: GatewayUnderTest,
) -> None:
    decode = served.workers[1]
    decode.decode_script = refusing
    asking = ask(served)
    await decode.calls.number(0)
    await served.until_queued(1)
    decode.decode_script = answering([5, 6, 7])
    await decode.set_load(make_load(running=1))
    assert (await asking).status_code == 200
    assert len(decode.calls.all) == 2


async def test_a_request_that_finds_no_room_waits_for_it(served: GatewayUnderTest) -> None:
    decode = served.workers[1]
    await decode.set_load(make_load(free=0))
    await served.until(
        lambda: served.gateway.models.first.workers.all()[0].load == make_load(free=0)
    )
    asking = ask(served)
    await served.until_queued(1)
    assert (await served.client.get("/status")).json()["queued"] == 1
    await decode.set_load(make_load(free=50))
    assert (await asking).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_when_prefill_dies_before_the_first_token_it_is_placed_again(
    served: GatewayUnderTest, stream: bool
) -> None:
    prefill, decode = served.workers
    prefill.prefill_script = prefilling_for_ever
    decode.decode_script = reserving_for_ever
    asking = ask(served, stream=stream)
    await prefill.calls.number(0)
    other = await served.join("p1", Role.PREFILL)
    decode.decode_script = answering([5, 6, 7])
    await prefill.stop()
    response = await asking
    assert response.status_code == 200, response.text
    first, second = (call.request for call in decode.calls.all)
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.request_id == second.request_id
    assert first.handoff.transfer_id != second.handoff.transfer_id
    assert (await other.calls.number(0)).request.transfer_id == second.handoff.transfer_id


async def test_when_the_only_prefill_dies_decode_goes_on_alone(served: GatewayUnderTest) -> None:
    prefill, decode = served.workers
    prefill.prefill_script = prefilling_for_ever
    decode.decode_script = reserving_for_ever
    asking = ask(served)
    await prefill.calls.number(0)
    decode.decode_script = answering([5, 6, 7])
    await prefill.stop()
    assert (await asking).status_code == 200
    assert not decode.calls.all[-1].request.HasField("handoff")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_that_breaks_every_hand_off_is_given_up(
    model_folder: Path, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaking(request: decode_pb2.GenerateRequest) -> Generated:
        yield RESERVED
        raise TransferError("stale")

    monkeypatch.setattr("gateway.serving.attempt.CAUSE_SECONDS", 0.02)  # prefill says nothing of it

    async with running_gateway(model_folder, failover_timeout=0.5) as served:
        await served.pair()
        served.workers[0].prefill_script = prefilling_for_ever
        served.workers[1].decode_script = breaking
        response = await ask(served, stream=stream)
        assert response.status_code == 503
        tried = [call.request.attempt for call in served.workers[1].calls.all]
        assert tried == list(range(1, len(tried) + 1))
        assert 2 <= len(tried) < 20  # each waits longer than the one before
        await served.until_idle()


@pytest.mark.parametrize("wrong", ["another token", "a gap", "an end too early"])
async def test_contradicting_workers_are_an_error(served: GatewayUnderTest, wrong: str) -> None:
    async def contradicting(request: decode_pb2.GenerateRequest) -> Generated:
        length = len(request.prompt_token_ids)
        yield RESERVED
        if wrong == "another token":
            yield decoded(records(length, [6], finish=None))
            await asyncio.Event().wait()
        elif wrong == "a gap":
            yield decoded(records(length + 2, [6]))
        else:
            yield FINISHED

    served.workers[0].prefill_script = prefilling([5])
    served.workers[1].decode_script = contradicting
    response = await ask(served, stream=True)
    if response.status_code == 200:
        assert events(response.text)[-1]["error"]["code"] == 500
    else:
        assert response.status_code == 500
    assert (await ask(served)).status_code == 500


async def test_a_repeated_first_token_is_given_out_once(served: GatewayUnderTest) -> None:
    response = await ask(served, return_token_ids=True)
    assert response.json()["choices"][0]["token_ids"] == [5, 6, 7]


async def test_prefill_that_ends_without_a_token_is_tried_again(served: GatewayUnderTest) -> None:
    async def hesitating(request: prefill_pb2.PrefillRequest) -> Prefilled:
        yield ADMITTED
        if request.attempt > 1:
            yield prefilled(records(len(request.prompt_token_ids), [5], finish=None))
        yield RELEASED

    async def following(request: decode_pb2.GenerateRequest) -> Generated:
        script = reserving_for_ever if request.attempt == 1 else answering([5, 6, 7])
        async for response in script(request):
            yield response

    served.workers[0].prefill_script = hesitating
    served.workers[1].decode_script = following
    assert (await ask(served)).status_code == 200


async def test_a_silent_worker_is_given_up(model_folder: Path) -> None:
    patience: dict[str, Any] = {"failover_timeout": 0.2, "max_queue_seconds": 0.2}
    async with running_gateway(model_folder, worker_silence_seconds=0.05, **patience) as gateway:
        _, decode = await gateway.pair()
        gateway.workers[0].prefill_script = prefilling_for_ever
        decode.decode_script = reserving_for_ever
        assert (await ask(gateway)).status_code == 503
        await gateway.until_idle()


async def test_a_full_queue_is_429_with_a_time_to_come_back(model_folder: Path) -> None:
    async with running_gateway(model_folder, max_queued_requests=1) as gateway:
        _, decode = await gateway.pair()
        decode.decode_script = refusing
        first = ask(gateway)
        await gateway.until_queued(1)
        response = await ask(gateway, stream=True)
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"]["code"] == 429
        assert response.headers["x-baton-reason"] == "queue_full"
        first.cancel()
        await gateway.until_queued(0)


async def test_who_waits_for_longer_than_its_client_allows_is_dropped(
    served: GatewayUnderTest,
) -> None:
    served.workers[1].decode_script = refusing
    body, timeout = {"messages": HI}, {"x-baton-timeout-ms": "20"}
    response = await served.client.post(CHAT, json=body, headers=timeout)
    assert response.status_code == 504
    assert response.headers["x-baton-reason"] == "queue_timeout"
    assert int(response.headers["retry-after"]) >= 1
    wrong = await served.client.post(CHAT, json=body, headers={"x-baton-timeout-ms": "soon"})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "x-baton-timeout-ms"


async def test_without_a_worker_it_is_503_in_the_end(model_folder: Path) -> None:
    async with running_gateway(model_folder, max_queue_seconds=0.05) as gateway:
        for worker in (None, "p0"):
            if worker is not None:
                await gateway.join(worker, Role.PREFILL)
            response = await ask(gateway)
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
            assert response.headers["x-baton-reason"] == "no_worker"


async def test_a_request_waits_for_the_first_worker(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        asking = ask(gateway)
        await gateway.pair()
        assert (await asking).status_code == 200


async def test_shutting_down_ends_streams_with_an_error_event(served: GatewayUnderTest) -> None:
    served.workers[1].decode_script = reserving_for_ever
    body = {"messages": HI, "stream": True}
    text = ""
    async with served.client.stream("POST", CHAT, json=body) as response:
        async for part in response.aiter_text():
            text += part
            served.gateway.models.first.dispatcher.fail_all(UnavailableError("closing"))
    assert events(text)[-1]["error"]["code"] == 503
    assert (await ask(served)).status_code == 503


async def test_a_client_that_does_not_read_is_given_up(model_folder: Path) -> None:
    async with running_gateway(model_folder, send_buffer=4096, client_stall_seconds=0.2) as gateway:
        _, decode = await gateway.pair()

        async def flooding(request: decode_pb2.GenerateRequest) -> Generated:
            yield RESERVED
            position = len(request.prompt_token_ids)
            while True:
                yield decoded(records(position, [5] * 1000, finish=None))
                position += 1000

        decode.decode_script = flooding
        body = {"messages": HI, "stream": True}
        async with not_reading(gateway.client.base_url, CHAT, body):
            async with asyncio.timeout(30):
                await (await decode.calls.number(0)).ended.wait()
        await gateway.until_idle()


@pytest.mark.parametrize("stream", [False, True])
async def test_the_callers_fault_found_by_prefill_is_told_however_late_its_word_comes(
    served: GatewayUnderTest, stream: bool
) -> None:
    """Decode only knows that the hand-off is over, and may be heard first."""
    prefill, decode = served.workers

    async def losing_the_handoff(request: decode_pb2.GenerateRequest) -> Generated:
        yield RESERVED
        await prefill.calls.number(0)
        raise TransferError("this hand-off is over")

    async def finding_fault(request: prefill_pb2.PrefillRequest) -> Prefilled:
        yield ADMITTED
        await (await decode.calls.number(0)).ended.wait()
        raise RequestError("no token is left to draw", "bad_words")

    decode.decode_script, prefill.prefill_script = losing_the_handoff, finding_fault

    response = await ask(served, stream=stream)

    error = response.json()["error"]
    assert response.status_code == 400
    assert (error["code"], error["param"]) == (400, "bad_words")
    assert error["message"] == "no token is left to draw"
