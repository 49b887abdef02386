"""The status page of a cluster that serves two models: whose each worker is, and whom to ask."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.browser import PATIENCE, browser, looking_at, until_live
from tests.support.cluster import running_cluster
from tests.support.two_models import make_first, make_second, models_file, pool


@pytest.mark.timeout(180)
async def test_two_models_have_pools_of_their_own_and_can_both_be_asked(tmp_path: Path) -> None:
    first, second = make_first(tmp_path / "first"), make_second(tmp_path / "second")
    file = models_file(tmp_path, second, decode=1)
    flags = pool("of the cluster") | {"served_model_name": "first", "models_file": file}
    async with (
        browser() as chromium,
        running_cluster(first, **flags) as cluster,
        looking_at(chromium, f"{cluster.url}/ui/") as page,
    ):
        await until_live(page)
        await expect(page.locator("#model")).to_contain_text("2 models", timeout=PATIENCE)
        heads = page.locator("#pools h3")
        whose = [
            f"{role} of {name}" for name in ("first", "second") for role in ("Prefill", "Decode")
        ]
        await expect(heads).to_contain_text(whose, timeout=PATIENCE)
        await expect(page.locator("#model-choice option")).to_have_text(["first", "second"])
        for name, worker in (("second", "second-decode-0"), ("first", "decode-0")):
            await page.locator("#model-choice").select_option(name)
            await page.get_by_role("button", name="Clear").click()
            await page.get_by_label("Longest answer").fill("5")
            await page.get_by_label("Message").fill("Who are you?")
            await page.get_by_label("Message").press("Enter")
            fate = page.locator(".turn.assistant .fate")
            await expect(fate).to_contain_text(f" {worker}", timeout=PATIENCE)
        await cluster.kill("second-decode-0")
        trouble = page.locator("#trouble")
        await expect(trouble).to_have_text("No worker of second takes requests.", timeout=PATIENCE)
        await expect(trouble).to_be_hidden(timeout=60_000)
