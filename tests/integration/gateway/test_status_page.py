"""GET /ui over HTTP: who may see what, and what comes as it changes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from baton.core.errors import UnavailableError
from baton.core.worker_info import Role
from baton.v1 import decode_pb2
from gateway.ui import feed
from gateway.ui.assets import NAMES
from tests.support.gateway_answer import answering_pair
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import answering, prefilling
from tests.support.gateway_members import make_load
from tests.support.gateway_reading import CHAT, HI

PAGE = Path(__file__).parents[3] / "docs" / "status-page.md"
ONE = {"Authorization": "Bearer one"}
TWO = {"Authorization": "Bearer two"}


class Onlooker:
    """Reads /ui/events; `seen` is what the page would know by now."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.seen: dict[str, Any] = {}
        self._lines = answer.aiter_lines()

    async def event(self) -> dict[str, Any]:
        """The next one."""
        async for line in self._lines:
            if line.startswith("data: "):
                news: dict[str, Any] = json.loads(line.removeprefix("data: "))
                self.seen |= news
                return news
        raise AssertionError("the stream has ended")


@asynccontextmanager
async def looking(gateway: GatewayUnderTest, **headers: str) -> AsyncIterator[Onlooker]:
    async with gateway.client.stream("GET", "/ui/events", headers=headers) as answer:
        yield Onlooker(answer)


async def state(gateway: GatewayUnderTest, **headers: str) -> dict[str, Any]:
    answer = await gateway.client.get("/ui/state", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_page_and_its_files_may_run_nothing_from_elsewhere(
    served: GatewayUnderTest,
) -> None:
    for path in ("/ui/", *(f"/ui/{name}" for name in NAMES if name != "index.html")):
        answer = await served.client.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = await served.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for foreign in ("http://", "https://", "innerHTML", "eval("):
            text = answer.text.replace("http://www.w3.org/2000/svg", "")
            assert foreign not in text, path
    page = (await served.client.get("/ui/")).text
    assert "<style" not in page
    assert "style=" not in page


@pytest.mark.parametrize("path", ["/ui/index.html", "/ui/nothing.js", "/ui/..%2fsettings.py"])
async def test_there_are_no_other_files(served: GatewayUnderTest, path: str) -> None:
    assert (await served.client.get(path)).status_code == 404


async def test_the_page_is_found_below_any_prefix(model_folder: Path) -> None:
    async with running_gateway(model_folder, root_path="/llm") as gateway:
        for asked in ("/ui", "/llm/ui"):
            answer = await gateway.client.get(asked)
            assert answer.status_code == 307
            assert answer.next_request is not None
            assert answer.next_request.url.path == asked + "/"
            assert "<title>" in (await gateway.client.get(asked + "/")).text
            assert (await gateway.client.get(asked + "/app.js")).status_code == 200


async def test_the_state_has_workers_links_and_a_requests_way(served: GatewayUnderTest) -> None:
    headers = {"X-Request-Id": "mine"}
    asked = await served.client.post(CHAT, json={"messages": HI, "max_tokens": 9}, headers=headers)
    assert asked.status_code == 200
    seen = await state(served)
    assert [worker["id"] for worker in seen["workers"]] == ["d0", "p0"]
    assert (seen["model"], seen["takes_requests"], seen["queued"]) == ("tiny", True, 0)
    [request] = seen["requests"]
    usage = asked.json()["usage"]
    assert (request["id"], request["phase"]) == ("mine", "done")
    assert request["finish_reasons"] == ["stop"]
    assert request["prompt_tokens"] == usage["prompt_tokens"]
    assert request["tokens"] == usage["completion_tokens"]
    [placed] = request["placements"]
    assert (placed["prefill_worker"], placed["decode_worker"]) == ("p0", "d0")
    assert placed["reason"] == "prefix_aware"
    times = [placed[name] for name in ("queued_ms", "placed_ms", "first_ms", "last_ms")]
    assert times == sorted(times)
    assert times[-1] <= request["ended_ms"]


async def test_what_moves_between_workers_is_a_link(served: GatewayUnderTest) -> None:
    async def reporting(
        request: decode_pb2.GenerateRequest,
    ) -> AsyncIterator[decode_pb2.GenerateResponse]:
        async for response in answering([5, 6, 7])(request):
            yield response
            if response.HasField("reserved"):
                moved = decode_pb2.TransferReport(
                    bytes=5000, tokens=40, transport="tcp", milliseconds=3.0, exposed_ms=1.25
                )
                yield decode_pb2.GenerateResponse(transferred=moved)

    prefill, decode = served.workers
    prefill.prefill_script, decode.decode_script = prefilling([5]), reporting
    for _ in range(2):
        assert (await served.client.post(CHAT, json={"messages": HI})).status_code == 200
    seen = await state(served)
    [link] = seen["links"]
    assert link["bytes_per_second"] in (0, 1000, 2000)  # of the last five seconds
    assert {name: link[name] for name in link if name != "bytes_per_second"} == {
        "from": "p0",
        "to": "d0",
        "transport": "tcp",
        "bytes": 10_000,
        "transfers": 2,
        "exposed_ms": 1.2,
    }
    assert keys_of(seen) == keys_of(written_up())
    transfer = seen["requests"][0]["placements"][0]["transfer"]
    assert (transfer["bytes"], transfer["transport"]) == (5000, "tcp")
    assert transfer["start_ms"] < transfer["end_ms"]


def written_up() -> dict[str, Any]:
    """The state that docs/status-page.md shows, but for what is not there in every one."""
    found = re.search(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    shown: dict[str, Any] = json.loads(found[1])
    shown["priorities"] = shown["requests"][0]["incidents"] = []
    return shown


def keys_of(told: object) -> object:
    """Of objects within it; a list of them is like its first one."""
    if isinstance(told, dict):
        return {key: keys_of(value) for key, value in told.items() if key != "labels"}
    if isinstance(told, list) and told and isinstance(told[0], dict):
        return [keys_of(told[0])]
    return None


async def test_what_broke_under_a_request_is_on_its_way(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        _, broken = await gateway.pair()
        broken.decode_script = breaking
        other = await gateway.join("d1", Role.DECODE)
        other.decode_script = answering([5, 6, 7])
        assert (await gateway.client.post(CHAT, json={"messages": HI})).status_code == 200
        [request] = (await state(gateway))["requests"]
    assert [one["decode_worker"] for one in request["placements"]] == ["d0", "d1"]
    assert request["placements"][0]["first_ms"] is None
    [incident] = request["incidents"]
    assert (incident["what"], incident["worker"]) == ("unavailable", "d0")
    again = request["placements"][1]
    assert request["placements"][0]["placed_ms"] <= incident["ms"] <= again["placed_ms"]


async def breaking(
    request: decode_pb2.GenerateRequest,
) -> AsyncIterator[decode_pb2.GenerateResponse]:
    raise UnavailableError("gone")
    yield


async def test_news_come_while_somebody_looks_and_nothing_is_done_afterwards(
    served: GatewayUnderTest,
) -> None:
    onlookers = served.gateway.feed
    async with looking(served) as onlooker:
        assert onlooker.answer.headers["content-type"].startswith("text/event-stream")
        first = await onlooker.event()
        assert {"workers", "links", "priorities", "requests", "shown"} <= first.keys()
        assert onlookers.onlookers == 1
        await served.workers[1].set_load(make_load(running=7))
        news = await onlooker.event()
        assert [worker["running"] for worker in news["workers"]] == [7, 0]
        assert "links" not in news
        await served.client.post(CHAT, json={"messages": HI})
        news = await onlooker.event()
        assert [request["phase"] for request in news["requests"]] == ["done"]
        await served.workers[1].stop()
        async with asyncio.timeout(20):
            while len(onlooker.seen["workers"]) > 1:
                await onlooker.event()
    await served.until(lambda: onlookers.onlookers == 0)


async def test_requests_that_wait_and_run_are_counted_by_priority(model_folder: Path) -> None:
    async with running_gateway(model_folder, scheduling_policy="priority") as gateway:
        await gateway.join("p0", Role.PREFILL)
        full = make_load(free=0)
        decode = await gateway.join("d0", Role.DECODE)
        await decode.set_load(full)
        await gateway.until(lambda: gateway.gateway.models.first.workers.all()[0].load == full)
        asking = [
            asyncio.create_task(
                gateway.client.post(CHAT, json={"messages": HI, "priority": priority})
            )
            for priority in (3, -2, 3)
        ]
        await gateway.until_queued(3)
        seen = await state(gateway)
        assert seen["priorities"] == [
            {"priority": -2, "queued": 1, "running": 0},
            {"priority": 3, "queued": 2, "running": 0},
        ]
        assert {request["phase"] for request in seen["requests"]} == {"queued"}
        await decode.set_load(make_load())
        await asyncio.gather(*asking)
        assert (await state(gateway))["priorities"] == []


async def test_with_keys_the_page_is_open_and_each_key_sees_its_own_requests(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder, api_key=("one", "two")) as gateway:
        await answering_pair(gateway)
        assert (await gateway.client.get("/ui/")).status_code == 200
        assert (await gateway.client.get("/ui/app.js")).status_code == 200
        for path in ("/ui/state", "/ui/events", "/ui/nothing.js"):
            assert (await gateway.client.get(path)).status_code == 401, path
        await gateway.client.post(CHAT, json={"messages": HI}, headers=ONE)
        assert len((await state(gateway, **ONE))["requests"]) == 1
        others = await state(gateway, **TWO)
        assert others["requests"] == []
        assert len(others["workers"]) == 2
        async with looking(gateway, **TWO) as onlooker:
            assert (await onlooker.event())["requests"] == []


async def test_it_can_be_turned_off(model_folder: Path) -> None:
    async with running_gateway(model_folder, disable_status_page=True) as gateway:
        await answering_pair(gateway)
        for path in ("/ui", "/ui/", "/ui/app.js", "/ui/state", "/ui/events"):
            assert (await gateway.client.get(path)).status_code == 404
        assert len((await gateway.client.get("/status")).json()["workers"]) == 2


async def test_a_crowd_of_onlookers_is_bounded(
    served: GatewayUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_ONLOOKERS", 1)
    async with looking(served) as onlooker:
        await onlooker.event()
        refused = await served.client.get("/ui/events")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"


async def test_a_stop_of_the_gateway_ends_the_stream_in_order(served: GatewayUnderTest) -> None:
    async with looking(served) as onlooker:
        await onlooker.event()
        served.gateway.feed.close()
        async with asyncio.timeout(20):
            assert not [line async for line in onlooker._lines if line.startswith("data")]
    assert (await served.client.get("/ui/events")).status_code == 503
