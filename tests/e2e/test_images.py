"""`baton up` on a model that reads images: the tokens are Hugging Face's, also after a death."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from baton.core.prompt_images import ImageSpan, PromptImage
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.images import ImageOracle, ImagePrompt, check_equal, image_file
from tests.support.models import IMAGE_PAD, make_vision
from tests.support.vision_answers import read_back
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


@pytest.mark.timeout(300)
async def test_an_encode_worker_changes_no_token_and_may_die(tmp_path: Path) -> None:
    folder = add_vision_tokenizer(make_vision("Qwen2VL", tmp_path / "vl"))
    asked = {
        "one": ["look: ", part(0), " what is it?"],
        "two": [part(1), part(2), "compare"],
        "mixed": ["a ", part(3), " b ", part(4), " c ", part(3), " d"],
    }
    files = {"one": FILES[:1], "two": FILES[1:3], "mixed": [FILES[3], FILES[4], FILES[3]]}
    oracle = ImageOracle(folder)
    async with (
        running_cluster(folder, placement_policy="prefix_aware", encode_workers=1) as running,
        httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as client,
    ):
        for name, content in asked.items():
            answer = await answered(client, body(content))
            params = answer["kv_transfer_params"]
            assert (params["encode_worker"], params["prefill_worker"]) == ("encode-0", "prefill-0")
            assert params["images_moved"] == len(set(files[name]))
            check_equal([oracle.answer(read_back(answer, files[name]), 12)], [tokens_of(answer)])
            again = await answered(client, body(content))  # from caches
            home = await answered(client, at_home(content))
            assert home["kv_transfer_params"]["encode_worker"] is None
            assert tokens_of(answer) == tokens_of(again) == tokens_of(home)

        contents = [[f"{number} ", part(5 + number), " and ", part(number)] for number in range(6)]
        asking = [asyncio.create_task(answered(client, body(c, max_tokens=60))) for c in contents]
        await running.kill("encode-0")
        under_a_death = [tokens_of(answer) for answer in await asyncio.gather(*asking)]
        homes = [await answered(client, at_home(c, max_tokens=60)) for c in contents]
        assert under_a_death == [tokens_of(home) for home in homes]
        await running.until_restarted("encode-0")
        await until_all(running, lambda worker: worker["state"] == "ready")
        back = await answered(client, body(asked["one"], cache_salt="later"))
        assert back["kv_transfer_params"]["encode_worker"] == "encode-0"
        await until_all(
            running,
            lambda worker: (
                worker["leased_blocks"] == 0 and worker["free_blocks"] == worker["total_blocks"]
            ),
        )


FILES = [image_file(64, 40, 50 + number) for number in range(11)]


def part(number: int) -> dict[str, Any]:
    return image_part(FILES[number])


def at_home(content: list[Any], **fields: Any) -> dict[str, Any]:
    """Encoded by whoever reads the prompt, and nothing of it found there."""
    avoiding = {"avoid": ["encode-0"]}
    return body(content, cache_salt="home", kv_transfer_params=avoiding, **fields)


async def until_all(running: RunningCluster, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Asks again and again: the gateway hears of loads by itself, and tells nobody."""
    async with asyncio.timeout(20):
        while True:
            workers = (await running.status())["workers"]
            if len(workers) == 3 and all(map(holds, workers)):
                return


async def answered(client: httpx.AsyncClient, asked: dict[str, Any]) -> dict[str, Any]:
    response = await client.post(CHAT, json=asked)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer
