"""What the page's modules decide, asked in the browser that runs them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.support.browser import browser, looking_at, until_live
from tests.support.gateway_answer import answering_pair
from tests.support.gateway_cluster import running_gateway
from tests.support.gateway_tokenizer import make_tokenizer_folder

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    folder: Path = make_tokenizer_folder(tmp_path_factory.mktemp("model"))
    async with browser() as chromium, running_gateway(folder) as gateway:
        await answering_pair(gateway)
        async with looking_at(chromium, str(gateway.client.base_url.join("/ui/"))) as page:
            await until_live(page)
            yield page


async def call(page: Page, module: str, expression: str, *given: object) -> Any:
    """`expression` sees the module's exports as `m` and what is given as `given`."""
    script = (
        f"async (_, given) => {{ const m = await import('/ui/{module}.js'); return {expression} }}"
    )
    return await page.locator("html").evaluate(script, [*given])


def placed(**times: float | None) -> dict[str, Any]:
    names = ("queued_ms", "placed_ms", "admitted_ms", "first_ms", "last_ms", "transfer")
    return dict.fromkeys(names) | times


def request(*placements: dict[str, Any], **facts: Any) -> dict[str, Any]:
    known = {"began_at": 1000, "ended_ms": 100, "phase": "done", "incidents": []}
    return {**known, "placements": [*placements], **facts}


async def spans(page: Page, asked: dict[str, Any], now: int = 0) -> list[tuple[str, float, float]]:
    found = await call(page, "timeline", "m.spansOf(...given).spans", asked, now)
    return [(span["kind"], span["from"], span["to"]) for span in found]


async def test_the_spans_of_a_request_follow_on_each_other(page: Page) -> None:
    moved = {"start_ms": 15, "end_ms": 35}
    one = placed(queued_ms=0, placed_ms=10, first_ms=30, last_ms=95) | {"transfer": moved}
    assert await spans(page, request(one)) == [
        ("queue", 0, 10),
        ("prefill", 10, 30),
        ("transfer", 15, 35),
        ("decode", 30, 95),
    ]
    assert await call(page, "timeline", "m.spoken(m.spansOf(...given))", request(one), 0) == (
        "queued 10 ms, prefill 20 ms, transfer 20 ms, decode 65 ms"
    )


async def test_what_has_not_ended_goes_on_until_now(page: Page) -> None:
    waiting = request(phase="queued", ended_ms=None)
    assert await spans(page, waiting, now=1050) == [("queue", 0, 50)]
    reading = request(placed(queued_ms=0, placed_ms=10), phase="prefill", ended_ms=None)
    assert await spans(page, reading, now=1050) == [("queue", 0, 10), ("prefill", 10, 50)]
    one = placed(queued_ms=0, placed_ms=10, first_ms=30, last_ms=40)
    writing = request(one, phase="decode", ended_ms=None)
    assert (await spans(page, writing, now=1050))[-1] == ("decode", 30, 50)


async def test_a_request_that_broke_waits_again_and_one_that_moved_goes_on(page: Page) -> None:
    broken = placed(queued_ms=0, placed_ms=10)
    again = placed(queued_ms=40, placed_ms=50, first_ms=70, last_ms=90)
    assert await spans(page, request(broken, again)) == [
        ("queue", 0, 10),
        ("prefill", 10, 40),
        ("queue", 40, 50),
        ("prefill", 50, 70),
        ("decode", 70, 90),
    ]
    moved = [{"ms": 80, "what": "moved", "worker": "d1"}]
    assert (await spans(page, request(again, incidents=moved)))[-1] == ("decode", 70, 100)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("m.bytes(0)", "0 B"),
        ("m.bytes(1536)", "1.50 KiB"),
        ("m.bytes(3e14)", "273 TiB"),
        ("m.duration(0)", "0 ms"),
        ("m.duration(0.26)", "0.3 ms"),
        ("m.duration(999)", "999 ms"),
        ("m.duration(1500)", "1.50 s"),
        ("m.duration(61000)", "1 min 1 s"),
        ("m.percent(0.004)", "< 1%"),
        ("m.percent(1)", "100%"),
        ("m.known(null, String)", "\u2013"),
        ("m.plural(1, 'worker')", "1 worker"),
        ("m.plural(2000, 'worker')", "2,000 workers"),
    ],
)
async def test_numbers_are_said_as_people_read_them(page: Page, said: str, wanted: str) -> None:
    assert await call(page, "format", said) == wanted


def worker(**facts: Any) -> dict[str, Any]:
    known = {"id": "d0", "role": "decode", "state": "ready", "next_role": None, "pid": 1}
    return {**known, "restarts": 0, "running": 3, **facts}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([worker()], [worker(running=9)], []),
        ([worker()], [], ["d0 is gone"]),
        ([], [worker()], ["d0 has joined"]),
        ([], [worker(restarts=1)], ["d0 is back"]),
        ([worker()], [worker(pid=2, restarts=1)], ["d0 is back"]),
        ([worker()], [worker(state="draining")], ["d0 is draining"]),
        (
            [worker()],
            [worker(state="draining", next_role="prefill")],
            ["d0 is draining to prefill"],
        ),
        ([worker()], [worker(role="prefill", restarts=1)], ["d0 is a prefill worker now"]),
    ],
)
async def test_what_happened_to_workers_is_said_once(
    page: Page, before: list[Any], after: list[Any], said: list[str]
) -> None:
    news = [
        {"now": 1, "workers": before, "requests": [], "shown": []},
        {"now": 2, "workers": after},
    ]
    told = "(() => { const s = new m.State(); s.take(given[0], true); return s.take(given[1], false) })()"
    assert await call(page, "state", told, *news) == said


async def test_a_worker_that_is_gone_is_remembered_without_its_numbers(page: Page) -> None:
    news = [
        {"now": 1, "workers": [worker()], "requests": [], "shown": []},
        {"now": 2, "workers": []},
    ]
    told = "(() => { const s = new m.State(); s.take(given[0], true); s.take(given[1]); return s.workers() })()"
    [gone] = await call(page, "state", told, *news)
    assert (gone["state"], gone["running"]) == ("gone", None)


async def test_requests_that_are_not_shown_any_more_are_forgotten(page: Page) -> None:
    news = [
        {"now": 1, "requests": [{"number": 1}, {"number": 2}], "shown": [2, 1]},
        {"now": 2, "requests": [{"number": 3}], "shown": [3, 2]},
    ]
    told = "(() => { const s = new m.State(); s.take(given[0], true); s.take(given[1]); return s.list() })()"
    assert await call(page, "state", told, *news) == [{"number": 3}, {"number": 2}]
