"""A real browser without a window, that fails a test for whatever its console complains of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.support.programs import needed

PATIENCE = 20_000  # milliseconds for whatever must come


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    path = needed("chromium", "chromium")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--no-proxy-server"]
        )
        try:
            yield running
        finally:
            await running.close()


@asynccontextmanager
async def looking_at(
    running: Browser, url: str, expected: tuple[str, ...] = (), **context: Any
) -> AsyncIterator[Page]:
    """The page at `url`, in a context of its own. `expected`: what errors in its console may say."""
    wrong: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(e in message.text for e in expected):
            wrong.append(message.text)

    opened = await running.new_context(**context)
    try:
        page = await opened.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        await page.goto(url)
        yield page
        assert wrong == []
    finally:
        await opened.close()


async def until_live(page: Page) -> None:
    """The page has heard of the cluster."""
    live = page.locator("#connection[data-state=live]")
    await expect(live).to_be_visible(timeout=PATIENCE)
