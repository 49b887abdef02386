"""The status page in a browser: API keys, and names that are written to do harm."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from baton.core.worker_info import Role
from baton.v1 import decode_pb2
from tests.support.browser import browser, looking_at, until_live
from tests.support.gateway_answer import answering_pair
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import RESERVED, decoded, records
from tests.support.gateway_reading import CHAT, HI
from tests.support.gateway_tokenizer import make_tokenizer_folder

HARM = "<img src=x onerror=alert(1)>"
REFUSED = ("401",)  # what a browser says by itself of such an answer

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("model"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


def page_of(gateway: GatewayUnderTest) -> str:
    return str(gateway.client.base_url.join("/ui/"))


async def stored(page: Page) -> list[int]:
    """Entries in what lives as long as the tab, in what lives longer, and cookies."""
    script = "() => [sessionStorage.length, localStorage.length, document.cookie.length]"
    found: list[int] = await page.locator("html").evaluate(f"({script})")
    return found


async def test_a_key_is_asked_for_and_forgotten_with_the_tab(
    folder: Path, chromium: Browser
) -> None:
    async with running_gateway(folder, api_key=("right",)) as gateway:
        await answering_pair(gateway)
        async with looking_at(chromium, page_of(gateway), REFUSED) as page:
            dialog = page.get_by_role("dialog", name="This server wants an API key")
            field = page.get_by_role("textbox", name="API key")
            await expect(dialog).to_be_visible()
            await expect(field).to_be_focused()
            await field.fill("wrong")
            await page.keyboard.press("Enter")
            await expect(page.get_by_text("This key is not known here.")).to_be_visible()
            await field.fill("right")
            await page.get_by_role("button", name="Show the cluster").click()
            await until_live(page)
            await expect(page.locator("#pools tbody tr")).to_have_count(2)
            assert await stored(page) == [1, 0, 0]
            await page.get_by_label("Message").fill("hi")
            await page.get_by_label("Message").press("Enter")
            await expect(page.locator(".turn .fate")).to_be_visible()
            await page.reload()
            await until_live(page)
            await page.get_by_role("button", name="Forget the API key").click()
            await expect(dialog).to_be_visible()
            assert await stored(page) == [0, 0, 0]


async def test_names_and_answers_that_look_like_markup_stay_text(
    folder: Path, chromium: Browser
) -> None:
    async def answers(
        request: decode_pb2.GenerateRequest,
    ) -> AsyncIterator[decode_pb2.GenerateResponse]:
        yield RESERVED
        yield decoded(records(len(request.prompt_token_ids), [5, 6]))

    async with running_gateway(folder, served_model_name=(HARM,)) as gateway:
        prefill, decode = (
            await gateway.join(HARM, Role.PREFILL),
            await gateway.join("d", Role.DECODE),
        )
        decode.decode_script = answers
        asked = await gateway.client.post(
            CHAT, json={"messages": HI}, headers={"X-Request-Id": HARM}
        )
        assert asked.status_code == 200
        assert prefill.worker_id == HARM
        async with looking_at(chromium, page_of(gateway)) as page:
            page.on("dialog", lambda dialog: pytest.fail(dialog.message))
            await until_live(page)
            await expect(page.locator("#pools tbody th").first).to_have_text(HARM)
            await expect(page.locator("#request-rows .opens")).to_have_text(HARM)
            await expect(page.locator("#model")).to_contain_text(HARM)
            await page.locator("#request-rows .opens").click()
            await expect(page.locator("tr.more")).to_contain_text(HARM)
            await page.get_by_label("Message").fill(HARM)
            await page.get_by_label("Message").press("Enter")
            await expect(page.locator(".turn.user")).to_have_text(HARM)
            await expect(page.locator(".turn .fate")).to_contain_text(HARM)
            assert await page.locator("img").count() == 1  # the page's own


async def test_nothing_can_be_slipped_in_as_markup_or_script(
    folder: Path, chromium: Browser
) -> None:
    """What the page's policy is for, should a line of it ever forget."""
    tries = (
        "document.body.innerHTML = '<b>x</b>'",
        "document.createElement('script').src = 'https://elsewhere.example/x.js'",
        "document.createElement('script').text = 'alert(1)'",
    )
    async with running_gateway(folder) as gateway:
        await answering_pair(gateway)
        async with looking_at(chromium, page_of(gateway), ("Trusted", "Policy")) as page:
            await until_live(page)
            body = page.locator("body")
            for script in tries:
                tried = (
                    f"() => {{ try {{ {script}; return '' }} catch (e) {{ return e.message }} }}"
                )
                assert "Trusted" in str(await body.evaluate(f"({tried})")), script
            painted = "node => { node.setAttribute('style', 'opacity: 0.5'); return getComputedStyle(node).opacity }"
            assert await body.evaluate(painted) == "1"


async def test_it_says_so_when_the_gateway_is_away_and_when_no_worker_is(
    folder: Path, chromium: Browser
) -> None:
    async with (
        running_gateway(folder) as gateway,
        looking_at(chromium, page_of(gateway), ("ERR_", "503")) as page,
    ):
        await until_live(page)
        await expect(page.get_by_role("alert")).to_have_text("No worker takes requests.")
        gateway.gateway.feed.close()
        await expect(page.locator("#connection[data-state=lost]")).to_be_visible()
        await expect(page.get_by_role("alert")).to_contain_text("What you see is how it was.")
        await expect(page.locator("#events")).to_contain_text("has lost the gateway")


HIDE = """
(_, hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


async def test_a_page_that_is_hidden_or_closed_asks_for_nothing(
    folder: Path, chromium: Browser
) -> None:
    async with running_gateway(folder) as gateway:
        await answering_pair(gateway)
        feed = gateway.gateway.feed
        async with looking_at(chromium, page_of(gateway)) as page:
            await until_live(page)
            assert feed.onlookers == 1
            await page.locator("html").evaluate(HIDE, True)
            await gateway.until(lambda: feed.onlookers == 0)
            await page.locator("html").evaluate(HIDE, False)
            await gateway.until(lambda: feed.onlookers == 1)
        await gateway.until(lambda: feed.onlookers == 0)


async def test_below_a_proxys_prefix_everything_is_found(folder: Path, chromium: Browser) -> None:
    async with running_gateway(folder, root_path="/llm") as gateway:
        await answering_pair(gateway)
        async with looking_at(chromium, str(gateway.client.base_url.join("/llm/ui"))) as page:
            await until_live(page)
            assert page.url.endswith("/llm/ui/")
            await page.get_by_label("Message").fill("hi")
            await page.get_by_label("Message").press("Enter")
            await expect(page.locator(".turn .fate")).to_be_visible()
            await page.locator("#request-rows .opens").click()
            await expect(page.locator(".candidates")).to_be_visible()
