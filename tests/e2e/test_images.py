"""`baton up` on a model that reads images: the tokens are Hugging Face's, also after a death."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from baton.core.prompt_images import ImageSpan, PromptImage
from tests.support.cluster import running_cluster
from tests.support.images import ImageOracle, ImagePrompt, check_equal, image_file
from tests.support.models import IMAGE_PAD, make_vision
from tests.support.vision_cluster import CHAT, body, image_part, tokens_of
from tests.support.vision_tokenizer import add_vision_tokenizer

PHOTO = image_file(64, 40, 5, "JPEG")


@pytest.mark.timeout(240)
async def test_an_image_through_the_processes_of_a_cluster(tmp_path: Path) -> None:
    folder = add_vision_tokenizer(make_vision("Qwen2VL", tmp_path / "vl"))
    asked = body(["look: ", image_part(PHOTO, "image/jpeg"), " what is it?"])
    async with (
        running_cluster(folder, placement_policy="prefix_aware") as running,
        httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as client,
    ):
        first = await answered(client, asked)
        await running.kill("prefill-0")
        await running.until_restarted("prefill-0")
        again = await answered(client, asked)
    ids: list[int] = first["prompt_token_ids"]
    span = ImageSpan(ids.index(IMAGE_PAD), 1, ids.count(IMAGE_PAD), b"")
    prompt = ImagePrompt(tuple(ids), (PromptImage(span, PHOTO),))
    check_equal([ImageOracle(folder).answer(prompt, 12)], [tokens_of(first)])
    assert tokens_of(again) == tokens_of(first)


async def answered(client: httpx.AsyncClient, asked: dict[str, Any]) -> dict[str, Any]:
    response = await client.post(CHAT, json=asked)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer
