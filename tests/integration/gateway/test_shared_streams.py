"""All answers of a decode worker on one stream: the same text, nobody held up, and its break survived."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import RefusedError
from baton.core.worker_info import Role
from baton.v1 import decode_pb2 as pb
from baton.worker.desk import Desk
from gateway.members import worker_client
from gateway.members.conversation import Asked, Conversation
from tests.support.gateway_reading import TEXT
from tests.support.not_reading import not_reading
from tests.support.served_cluster import ServedCluster, served_cluster
from tests.support.streamed_answer import Answer, following

BODY: dict[str, Any] = {
    "prompt": [5, 17, 90, 33, 8, 120, 64],
    "max_tokens": 60,
    "seed": 7,
    "temperature": 0.8,
    "ignore_eos": True,
}
CASES: dict[str, dict[str, Any]] = {
    "one choice": {},
    "several, with log-probabilities": {"n": 3, "logprobs": 2},
    "beams": {"use_beam_search": True, "n": 2, "temperature": 0, "seed": None},
    "the prompt's log-probabilities": {"prompt_logprobs": 1},
}


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[Conversation]:
    """Those that the gateway has opened, or tried to."""
    opened: list[Conversation] = []
    opening = Conversation.open

    def noted(self: Conversation) -> None:
        if self not in opened:
            opened.append(self)
        opening(self)

    monkeypatch.setattr(Conversation, "open", noted)
    return opened


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What was asked for on them."""
    all_asked: list[Asked] = []
    asking = Conversation.ask

    def noted(self: Conversation, *args: Any) -> Asked:
        all_asked.append(asking(self, *args))
        return all_asked[-1]

    monkeypatch.setattr(Conversation, "ask", noted)
    return all_asked


async def until_open(cluster: ServedCluster, streams: list[Conversation], count: int) -> None:
    def so() -> bool:
        return len(streams) == count and all(stream.is_open for stream in streams)

    await cluster.gateway.until(so)


async def streamed(cluster: ServedCluster, body: dict[str, Any]) -> Answer:
    async with following(cluster.gateway.client, body) as stream:
        return await stream.whole()


async def whole(cluster: ServedCluster, body: dict[str, Any]) -> dict[str, Any]:
    response = await cluster.gateway.client.post(TEXT, json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["kv_transfer_params"]["decode_worker"] == "d0"
    return {name: answer[name] for name in ("choices", "usage")}


@pytest.mark.parametrize("prefill", [0, 1])
@pytest.mark.parametrize("case", CASES)
async def test_it_is_the_answer_that_a_stream_of_its_own_tells(
    model_folder: Path,
    streams: list[Conversation],
    asked: list[Asked],
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    prefill: int,
) -> None:
    body = BODY | CASES[case]
    async with served_cluster(model_folder, prefill=prefill, decode=1) as cluster:
        cluster.hurry()
        await until_open(cluster, streams, 1)
        shared = [await whole(cluster, body) for _ in range(2)]
        assert bool(asked) is ("prompt_logprobs" not in body)
        monkeypatch.setattr(Conversation, "is_open", False)
        asked.clear()
        own = await whole(cluster, body)
        assert not asked
        for answer in (*shared, own):
            del answer["usage"]["prompt_tokens_details"]  # the first one found nothing in the cache
        assert shared == [own, own]
        await cluster.until_idle()


async def test_answers_at_a_time_come_in_messages_of_several(
    model_folder: Path, streams: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    hearing = Conversation._hear

    def noted(self: Conversation, message: pb.ConverseResponse) -> None:
        sizes.append(len(message.told))
        hearing(self, message)

    monkeypatch.setattr(Conversation, "_hear", noted)
    async with served_cluster(model_folder, decode=1) as cluster:
        await until_open(cluster, streams, 1)
        bodies = [BODY | {"seed": seed} for seed in range(8)]
        await asyncio.gather(*(streamed(cluster, body) for body in bodies))
    assert max(sizes) == 8
    assert sizes.count(8) > BODY["max_tokens"] / 2


async def test_an_answer_outlives_the_stream_that_it_is_told_on(
    model_folder: Path, streams: list[Conversation]
) -> None:
    body = BODY | {"max_tokens": 300}
    async with served_cluster(model_folder, decode=1) as cluster:
        cluster.hurry()
        await until_open(cluster, streams, 1)
        expected = await streamed(cluster, body)
        cluster.slow_down()
        async with following(cluster.gateway.client, body) as stream:
            await stream.until(lambda answer: answer.tokens() > 5)
            await streams[0].close()
            at = stream.answer.tokens()
            await stream.until(lambda answer: answer.tokens() > at + 5)
            cluster.hurry()
            answer = await stream.whole()
        assert answer == expected
        assert answer.way["failovers"] == 1
        await until_open(cluster, streams, 1)  # the next load that is heard opens it anew
        await cluster.until_idle()


async def test_a_client_that_does_not_read_holds_up_nobody(
    model_folder: Path, streams: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[int] = []
    pausing = Conversation.pause

    def noted(self: Conversation, call: int) -> None:
        paused.append(call)
        pausing(self, call)

    monkeypatch.setattr(Conversation, "pause", noted)
    longest = BODY | {"max_tokens": 1500, "stream": True}
    small: dict[str, Any] = {"send_buffer": 4096, "client_stall_seconds": 1.0}
    async with served_cluster(model_folder, decode=1, **small) as cluster:
        cluster.hurry()
        await until_open(cluster, streams, 1)
        async with not_reading(cluster.gateway.client.base_url, TEXT, longest):
            await cluster.gateway.until(lambda: bool(paused))
            assert (await streamed(cluster, BODY)).tokens() == BODY["max_tokens"]
            await cluster.until_idle()  # it was given up


async def test_an_answer_that_its_worker_refuses_is_asked_for_again(
    model_folder: Path,
    streams: list[Conversation],
    asked: list[Asked],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taking, refused = Desk.take, list[str]()

    def not_at_first(self: Desk, role: Role, request_id: str, *rest: int) -> Any:
        if not refused:
            refused.append(request_id)
            raise RefusedError("not now")
        return taking(self, role, request_id, *rest)

    async with served_cluster(model_folder, decode=1) as cluster:
        cluster.hurry()
        await until_open(cluster, streams, 1)
        expected = await streamed(cluster, BODY)
        asked.clear()
        monkeypatch.setattr(Desk, "take", not_at_first)
        assert await streamed(cluster, BODY) == expected
        assert (len(refused), len(asked)) == (1, 2)


async def test_an_answer_whose_client_has_gone_is_dropped(
    model_folder: Path, streams: list[Conversation], asked: list[Asked]
) -> None:
    async with served_cluster(model_folder, decode=1) as cluster:
        await until_open(cluster, streams, 1)
        async with following(cluster.gateway.client, BODY | {"max_tokens": 1000}) as stream:
            await stream.until(lambda answer: answer.tokens() > 3)
        await cluster.until_idle()  # at its pace it would write for minutes
        assert len(asked) == 1
        cluster.hurry()
        assert (await streamed(cluster, BODY)).tokens() == BODY["max_tokens"]


async def test_a_prompt_that_would_hold_up_the_others_has_a_call_of_its_own(
    model_folder: Path,
    streams: list[Conversation],
    asked: list[Asked],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served_cluster(model_folder, decode=1) as cluster:
        cluster.hurry()
        await until_open(cluster, streams, 1)
        monkeypatch.setattr(worker_client, "LIGHT_TOKENS", len(BODY["prompt"]))
        light = await streamed(cluster, BODY)
        assert len(asked) == 1
        monkeypatch.setattr(worker_client, "LIGHT_TOKENS", len(BODY["prompt"]) - 1)
        assert await streamed(cluster, BODY) == light
        assert len(asked) == 1
