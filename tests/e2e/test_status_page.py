"""The status page in a browser, on a real cluster of the demo model."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import PATIENCE, browser, looking_at, until_live
from tests.support.clients import Client
from tests.support.cluster import RunningCluster, baton_up
from tests.support.contrast import contrasts

SHOTS = os.environ.get("BATON_STATUS_PAGE_SHOTS")  # folder for pictures of the page, for the docs
QUESTIONS = (
    "What is the capital of France?",
    "Sort these words: pear, apple, cherry, plum, fig, lemon, grape, melon, peach, quince",
    "What is 47 + 38?",
)
READ = ("h1", "h2", "#model", ".tiles dt", ".tiles dd", "tbody th", "td.number", ".reason", ".fate")

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(chromium: Browser) -> AsyncIterator[RunningCluster]:
    flags = ("--port=0", "--served-model-name=demo", "--placement-policy=auto")
    small = "--kv-cache-memory-bytes=8M"  # so that a few requests fill a part that is seen
    async with baton_up(*flags, "--prefill-workers=2", "--decode-workers=2", small) as running:
        await running.begin(120)
        yield running
        await running.end()


async def asked(cluster: RunningCluster, question: str, name: str, **fields: Any) -> None:
    body = {"messages": [{"role": "user", "content": question}], **fields}
    async with Client(cluster.url) as client:
        headers = {"X-Request-Id": name}
        answer = await client.http.post("/v1/chat/completions", json=body, headers=headers)
        answer.raise_for_status()


async def test_a_request_is_shown_while_it_runs_and_how_it_went(
    cluster: RunningCluster, chromium: Browser
) -> None:
    async with looking_at(chromium, f"{cluster.url}/ui") as page:
        assert page.url.endswith("/ui/")
        await until_live(page)
        await expect(page).to_have_title("demo · Baton")
        await expect(page.locator("#pools tbody tr")).to_have_count(4)
        endless = {"max_tokens": 400, "ignore_eos": True}
        asking = asyncio.create_task(asked(cluster, QUESTIONS[0], "long", **endless))
        row = page.locator("#request-rows tr", has_text="long")
        await expect(row.locator(".state")).to_have_text("decode", timeout=PATIENCE)
        await expect(page.locator("#line tr")).to_have_count(1, timeout=PATIENCE)
        await asking
        await expect(row.locator(".state")).to_have_text("done", timeout=PATIENCE)
        await expect(row.locator("td.number").nth(1)).to_have_text("400")
        await expect(row.locator(".way .unseen")).to_contain_text("decode")
        await row.get_by_role("button").click()
        details = page.locator("#request-rows tr.more")
        await expect(details).to_contain_text("First token")
        await expect(details.locator(".candidates .chosen")).to_have_count(1, timeout=PATIENCE)


async def test_the_chat_answers_and_says_where(cluster: RunningCluster, chromium: Browser) -> None:
    async with looking_at(chromium, f"{cluster.url}/ui/") as page:
        await until_live(page)
        await page.get_by_label("Message").fill(QUESTIONS[0])
        await page.get_by_label("Message").press("Enter")
        answer = page.locator(".turn.assistant")
        await expect(answer.locator(".said")).to_have_text("The capital of France is Paris.")
        await expect(answer.locator(".fate")).to_contain_text("decode-")
        await page.get_by_label("Message").fill("And what is 47 + 38?")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator(".turn.assistant .fate")).to_have_count(2)
        await page.get_by_role("button", name="Clear").click()
        await expect(page.locator(".turn")).to_have_count(0)


async def test_a_killed_worker_is_shown_and_so_is_its_return(
    cluster: RunningCluster, chromium: Browser
) -> None:
    async with looking_at(chromium, f"{cluster.url}/ui/") as page:
        await until_live(page)
        began = time.monotonic()
        await cluster.kill("decode-0")
        happened = page.locator("#events")
        await expect(happened).to_contain_text("decode-0 is gone", timeout=PATIENCE)
        print(f"a killed worker was shown after {time.monotonic() - began:.2f} s")  # noqa: T201
        await expect(happened).to_contain_text("decode-0 is back", timeout=60_000)
        row = page.locator("#pools tbody tr", has_text="decode-0")
        await expect(row.locator(".state")).to_have_text("ready", timeout=PATIENCE)
        await expect(page.locator("#announcer")).to_contain_text("decode-0 is back")


async def test_everything_can_be_reached_and_used_by_keyboard(
    cluster: RunningCluster, chromium: Browser
) -> None:
    await asked(cluster, QUESTIONS[0], "reached")
    async with looking_at(chromium, f"{cluster.url}/ui/") as page:
        await until_live(page)
        await expect(page.get_by_role("button", name="reached")).to_be_visible()
        visited = await tour(page)
        assert visited[:2] == ["Skip to the requests", "Skip to the chat"]
        for name in ("reached", "question", "longest", "clear", "send"):
            assert name in visited, visited
        await page.get_by_role("button", name="reached").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("tr.more")).to_be_visible()
        await expect(page.locator(":focus")).to_have_text("reached")
        await page.keyboard.press("Space")
        await expect(page.locator("tr.more")).to_have_count(0)


async def tour(page: Page) -> list[str]:
    """What has the focus after each Tab, until all were visited; it must be seen to have it."""
    visited: list[str] = []
    while True:
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if not await focused.count():
            return visited
        outline = await focused.evaluate("node => getComputedStyle(node).outlineStyle")
        text = (await focused.inner_text()).strip()
        name = await focused.get_attribute("id") or await focused.get_attribute("title") or text
        assert outline != "none", name
        visited.append(name)
        assert len(visited) < 200


async def test_a_screen_reader_finds_landmarks_headings_and_tables(
    cluster: RunningCluster, chromium: Browser
) -> None:
    async with looking_at(chromium, f"{cluster.url}/ui/") as page:
        await until_live(page)
        for role in ("banner", "main", "complementary"):
            await expect(page.get_by_role(role)).to_have_count(1)
        for name in ("Workers", "Links", "Under way, by priority", "Requests", "Try it"):
            await expect(page.get_by_role("heading", name=name, exact=True)).to_have_count(1)
        for table in await page.locator("table").all():
            assert await table.locator("caption").count() == 1
        workers = page.get_by_role("table", name="Workers of the decode pool")
        await expect(workers.get_by_role("rowheader")).to_have_count(2)
        await expect(workers.get_by_role("columnheader", name="KV use")).to_be_visible()
        await expect(page.locator("#announcer")).to_have_attribute("aria-live", "polite")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_legible_in_light_and_dark(
    cluster: RunningCluster, chromium: Browser, scheme: Any
) -> None:
    size = {"width": 1440, "height": 1000}
    options: dict[str, Any] = {
        "color_scheme": scheme,
        "viewport": size,
        "device_scale_factor": 1.25,
    }
    async with looking_at(chromium, f"{cluster.url}/ui/", **options) as page:
        await until_live(page)
        for number, question in enumerate(QUESTIONS):
            await page.get_by_label("Message").fill(question)
            await page.get_by_label("Message").press("Enter")
            await expect(page.locator(".turn .fate")).to_have_count(number + 1)
        await page.locator("#request-rows .opens").nth(1).click()
        await expect(page.locator(".candidates")).to_be_visible()
        asking = [
            asyncio.create_task(asked(cluster, q, f"answer-{n}", max_tokens=400, ignore_eos=True))
            for n, q in enumerate(QUESTIONS)
        ]
        await expect(page.locator("#line tr")).to_have_count(1, timeout=PATIENCE)
        if SHOTS:
            await page.screenshot(path=Path(SHOTS) / f"status-page-{scheme}.png")
        assert {name: ratio for name, ratio in await contrasts(page, READ) if ratio < 4.5} == {}
        await asyncio.gather(*asking)


async def test_a_narrow_screen_needs_no_scrolling_sideways(
    cluster: RunningCluster, chromium: Browser
) -> None:
    size: Any = {"width": 360, "height": 740}
    async with looking_at(chromium, f"{cluster.url}/ui/", viewport=size) as page:
        await until_live(page)
        width = await page.locator("html").evaluate("node => node.scrollWidth")
        assert width <= 360
