"""A decode worker drains while it writes: its answers move to another one, and nobody can tell."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import BatonError, RefusedError
from baton.core.handoff import Handoff
from baton.core.worker_info import Role
from baton.engine.work import GiveAwaySink
from baton.worker.room import Room
from kv_transfer.pulling import Pulled
from tests.support.gateway_reading import TEXT
from tests.support.served_cluster import ServedCluster, served_cluster
from tests.support.streamed_answer import Answer, Following, following
from tests.support.worker_pair import BLOCKS, Served

PROMPT = [5, 17, 90, 33, 8, 120, 64]
BODY: dict[str, Any] = {
    "prompt": PROMPT,
    "max_tokens": 400,  # at 10 ms a token nobody waits for the end of it
    "seed": 7,
    "temperature": 0.8,
    "ignore_eos": True,
}
NOT_NOW = RefusedError("not now")
CASES: dict[str, tuple[int, dict[str, Any]]] = {  # how many prefill workers, and what is asked
    "greedy": (0, {"temperature": 0}),
    "behind a prefill worker": (1, {"n": 2, "max_tokens": 200}),
    "more choices than move at once": (0, {"n": 6, "max_tokens": 150}),
    "log-probabilities": (1, {"logprobs": 2}),
}


async def undisturbed(cluster: ServedCluster, body: dict[str, Any]) -> Answer:
    cluster.hurry()
    async with following(cluster.gateway.client, body) as stream:
        answer = await stream.whole()
    cluster.slow_down()
    return answer


async def begun(stream: Following, body: dict[str, Any], tokens: int = 5) -> None:
    choices = range(body.get("n", 1))
    await stream.until(lambda answer: all(answer.tokens(c) >= tokens for c in choices))


async def moves(cluster: ServedCluster) -> dict[str, int]:
    return await counted(cluster, "baton_moves_total", "result")


async def counted(cluster: ServedCluster, family: str, label: str) -> dict[str, int]:
    page = (await cluster.gateway.client.get("/metrics")).text
    lines = [line for line in page.splitlines() if line.startswith(family + "{")]
    pairs = [(line.split(f'{label}="')[1].split('"')[0], line.split()[-1]) for line in lines]
    return {name: int(float(count)) for name, count in pairs if float(count)}


@pytest.mark.parametrize("case", CASES)
async def test_an_answer_that_moves_is_the_undisturbed_one(model_folder: Path, case: str) -> None:
    prefill, fields = CASES[case]
    body = BODY | fields
    n = body.get("n", 1)
    async with served_cluster(model_folder, prefill=prefill) as cluster:
        expected = await undisturbed(cluster, body)
        async with following(cluster.gateway.client, body) as stream:
            await begun(stream, body)
            [source] = cluster.busy
            cluster.drain(source)
            reading = asyncio.create_task(stream.whole())
            await cluster.workers[source].until_idle()
            assert not reading.done()
            cluster.hurry()
            answer = await reading
        assert answer == expected
        [target] = {"d0", "d1"} - {source}
        assert answer.way["decode_worker"] == source
        assert answer.way["moves"] == n
        assert answer.way["continued_on"] == [target] * n
        assert answer.way["failovers"] == 0
        assert await moves(cluster) == {"moved": n}
        assert await counted(cluster, "baton_failovers_total", "reason") == {}
        shown = (await cluster.gateway.client.get("/ui/state")).json()
        incidents = shown["requests"][0]["incidents"]
        assert [(one["what"], one["worker"]) for one in incidents] == [("moved", target)] * n
        [link] = [link for link in shown["links"] if link["from"] == source]
        assert (link["to"], link["transfers"]) == (target, n)


async def test_an_answer_that_is_not_streamed_moves_too(model_folder: Path) -> None:
    async with served_cluster(model_folder) as cluster:
        body = BODY | {"max_tokens": 200, "n": 2}
        cluster.hurry()
        expected = (await cluster.gateway.client.post(TEXT, json=body)).json()
        await cluster.until_idle()  # its worker may still settle it when the answer is there
        cluster.slow_down()
        asking = asyncio.create_task(cluster.gateway.client.post(TEXT, json=body))
        await cluster.gateway.until(lambda: bool(cluster.busy))
        [source] = cluster.busy
        await cluster.workers[source].until(lambda load: load.running >= 1)
        cluster.drain(source)
        await cluster.workers[source].until_idle()
        assert not asking.done()
        cluster.hurry()
        told = (await asking).json()
        assert told["choices"] == expected["choices"]
        assert told["usage"] == expected["usage"]
        assert told["kv_transfer_params"]["moves"] == 2


async def test_it_moves_on_when_the_next_one_drains_as_well(model_folder: Path) -> None:
    async with served_cluster(model_folder, decode=1) as cluster:
        expected = await undisturbed(cluster, BODY)
        async with following(cluster.gateway.client, BODY) as stream:
            await begun(stream, BODY)
            for source, target in (("d0", "d1"), ("d1", "d2"), ("d2", "d3")):
                await cluster.join(target, Role.DECODE)
                cluster.drain(source)
                await stream.until(lambda _, target=target: cluster.busy == [target])  # type: ignore[misc]
                at = stream.answer.tokens()
                await stream.until(lambda answer, at=at: answer.tokens() > at)  # type: ignore[misc]
            cluster.hurry()
            answer = await stream.whole()
        assert answer == expected
        assert answer.way["continued_on"] == ["d1", "d2", "d3"]
        assert (answer.way["moves"], answer.way["failovers"]) == (3, 0)


async def test_a_stop_string_is_found_across_the_move(model_folder: Path) -> None:
    async with served_cluster(model_folder) as cluster:
        plain = await undisturbed(cluster, BODY)
        text = plain.choices[0].text
        at = next(i for i in range(300, len(text)) if text.find(text[i : i + 12]) == i)
        body = BODY | {"stop": [text[at : at + 12]]}
        expected = await undisturbed(cluster, body)
        assert expected.choices[0].ends[0][0] == "stop"
        async with following(cluster.gateway.client, body) as stream:
            await begun(stream, body)
            [source] = cluster.busy
            cluster.drain(source)
            await stream.until(lambda _: source not in cluster.busy)
            cluster.hurry()
            assert await stream.whole() == expected


async def test_a_choice_that_its_text_has_ended_does_not_move(model_folder: Path) -> None:
    async with served_cluster(model_folder) as cluster:
        two = BODY | {"n": 2}
        texts = [choice.text for choice in (await undisturbed(cluster, two)).choices.values()]
        stop = next(
            texts[0][i : i + 4] for i in range(8, 600) if texts[0][i : i + 4] not in texts[1]
        )
        body = two | {"stop": [stop]}
        expected = await undisturbed(cluster, body)
        async with following(cluster.gateway.client, body) as stream:
            await stream.until(lambda answer: 0 in answer.choices and answer.choices[0].ends != [])
            [source] = cluster.busy
            cluster.drain(source)
            await stream.until(lambda _: source not in cluster.busy)
            cluster.hurry()
            answer = await stream.whole()
        assert answer == expected
        assert answer.way["moves"] == 1


async def test_where_nobody_has_room_it_ends_where_it_began(model_folder: Path) -> None:
    async with served_cluster(model_folder) as cluster:
        expected = await undisturbed(cluster, BODY)
        async with following(cluster.gateway.client, BODY) as stream:
            await begun(stream, BODY)
            [source] = cluster.busy
            [other] = {"d0", "d1"} - {source}
            taken = cluster.workers[other].worker.blocks.allocate(BLOCKS)
            assert taken is not None
            cluster.workers[other].worker.board.touch()
            await cluster.gateway.until(lambda: free_blocks(cluster, other) == 0)
            cluster.drain(source)
            await cluster.gateway.until(lambda: cluster.known(source).drains)
            cluster.hurry()
            answer = await stream.whole()
        cluster.workers[other].worker.release(taken)
        assert answer == expected
        assert (answer.way["moves"], answer.way["continued_on"]) == (0, [])
        assert await moves(cluster) == {}


async def test_what_is_refused_is_asked_for_again(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.serving.moves.PAUSE", 0.01)
    async with served_cluster(model_folder) as cluster:
        expected = await undisturbed(cluster, BODY)
        async with following(cluster.gateway.client, BODY) as stream:
            await begun(stream, BODY)
            [source] = cluster.busy
            asked = refusing(cluster.workers[source], times=2)
            cluster.drain(source)
            await stream.until(lambda _: source not in cluster.busy)
            cluster.hurry()
            answer = await stream.whole()
        assert len(asked) == 3
        assert answer == expected
        assert (answer.way["moves"], answer.way["failovers"]) == (1, 0)
        assert await moves(cluster) == {"refused": 2, "moved": 1}


async def test_a_client_that_leaves_while_it_moves_leaves_nothing_behind(
    model_folder: Path,
) -> None:
    async with served_cluster(model_folder) as cluster:
        pulls = [Held(served) for served in cluster.workers.values()]
        async with following(cluster.gateway.client, BODY | {"n": 2}) as stream:
            await begun(stream, BODY | {"n": 2})
            [source] = cluster.busy
            cluster.drain(source)
            reading = asyncio.create_task(stream.whole())
            await first_of(pulls)
            reading.cancel()
        await cluster.until_idle()


@pytest.mark.parametrize("n", [1, 2])
async def test_the_target_dies_while_it_takes_over(model_folder: Path, n: int) -> None:
    body = BODY | {"n": n, "max_tokens": 300}
    async with served_cluster(model_folder, decode=3) as cluster:
        expected = await undisturbed(cluster, body)
        async with following(cluster.gateway.client, body) as stream:
            await begun(stream, body)
            [source] = cluster.busy
            pulls = [Held(served) for served in cluster.workers.values()]
            cluster.drain(source)
            reading = asyncio.create_task(stream.whole())
            target = await first_of(pulls)
            await cluster.kill(target)
            for pull in pulls:
                pull.go.set()
            cluster.hurry()
            answer = await reading
        assert answer == expected
        assert answer.way["failovers"] == 1


@pytest.mark.parametrize("lent", [True, False])
@pytest.mark.parametrize("n", [1, 2])
async def test_the_source_dies_before_its_kv_has_left(
    model_folder: Path, n: int, lent: bool
) -> None:
    body = BODY | {"n": n, "max_tokens": 300}
    async with served_cluster(model_folder, decode=3) as cluster:
        expected = await undisturbed(cluster, body)
        async with following(cluster.gateway.client, body) as stream:
            await begun(stream, body)
            [source] = cluster.busy
            if not lent:
                refusing(cluster.workers[source], says=None)
            pulls = [Held(served) for served in cluster.workers.values()]
            cluster.drain(source)
            reading = asyncio.create_task(stream.whole())
            await first_of(pulls)
            await cluster.kill(source)
            for pull in pulls:
                pull.go.set()
            cluster.hurry()
            answer = await reading
        assert answer == expected
        assert answer.way["failovers"] >= 1
        assert answer.way["moves"] == 0


def free_blocks(cluster: ServedCluster, worker_id: str) -> int | None:
    """As the gateway knows it."""
    load = cluster.known(worker_id).load
    return load.free_blocks if load else None


class Held:
    """The worker's next pulls stand still until `go`."""

    def __init__(self, served: Served) -> None:
        self.worker_id = served.worker.info.worker_id
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self._pull = served.worker.pull
        served.worker.pull = self  # type: ignore[method-assign]

    async def __call__(self, handoff: Handoff, room: Room, num_known: int) -> Pulled:
        self.began.set()
        await self.go.wait()
        return await self._pull(handoff, room, num_known)


async def first_of(pulls: list[Held]) -> str:
    """The first worker that is to pull."""
    waits = {asyncio.create_task(pull.began.wait()): pull.worker_id for pull in pulls}
    try:
        done, _ = await asyncio.wait(waits, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        return waits[done.pop()]
    finally:
        for wait in waits:
            wait.cancel()


def refusing(served: Served, times: int = 1000, says: BatonError | None = NOT_NOW) -> list[str]:
    """Its engine gives nothing away the first few times, or does not even answer; what it was asked
    for.
    """
    asked: list[str] = []
    give_away = served.worker.bridge.give_away

    def sometimes(key: str, choice: int, sink: GiveAwaySink) -> None:
        asked.append(key)
        if len(asked) > times:
            give_away(key, choice, sink)
        elif says is not None:
            raise says

    served.worker.bridge.give_away = sometimes  # type: ignore[method-assign]
    return asked
