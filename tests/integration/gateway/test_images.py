"""Chats with images through a gateway, a prefill worker and a decode worker: the tokens are those of
Hugging Face's `generate`, whoever reads the prompt, and whoever dies meanwhile.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from baton.core.errors import UnavailableError
from baton.core.prompt_images import PromptImage
from baton.core.worker_info import Role
from gateway.images.settings import ImageSettings
from tests.support.file_host import FileHost, file_host
from tests.support.hugging_face import Answer
from tests.support.images import ImageOracle, check_equal, image_file
from tests.support.models import IMAGE_PAD, make_vision
from tests.support.vision_answers import read_back
from tests.support.vision_cluster import CHAT, VisionCluster, image_part, tokens_of, vision_cluster
from tests.support.vision_tokenizer import add_vision_tokenizer

RED, BLUE = image_file(60, 44, 31), image_file(60, 44, 32)
WIDE, WIDE_PNG = (image_file(64, 20, 33, format) for format in ("JPEG", "PNG"))
ONE = [{"type": "text", "text": "what is this? "}, image_part(RED)]
SEVERAL = [
    *("compare ", image_part(RED), " with ", image_part(WIDE, "image/jpeg")),
    *(image_part(BLUE), " and say what you see"),
]
LONG = {"max_tokens": 400}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_vision_tokenizer(make_vision("Qwen2VL", tmp_path_factory.mktemp("models") / "vl"))


@pytest.fixture(scope="module")
def oracle(folder: Path) -> ImageOracle:
    return ImageOracle(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[FileHost]:
    async with file_host() as host:
        host.serve("/red.png", RED, "Content-Type: image/png")
        yield host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(folder: Path, host: FileHost) -> AsyncIterator[VisionCluster]:
    settings = ImageSettings(
        trust_request_mm_kwargs=True, allowed_media_domains=(f"127.0.0.1:{host.port}",)
    )
    async with vision_cluster(folder, images=settings) as cluster:
        yield cluster


pytestmark = pytest.mark.asyncio(loop_scope="module")


def files_of(content: list[Any]) -> list[bytes]:
    known = {image_part(RED)["image_url"]["url"]: RED, image_part(BLUE)["image_url"]["url"]: BLUE}
    parts = [part for part in content if isinstance(part, dict) and "image_url" in part]
    return [known.get(part["image_url"]["url"], WIDE) for part in parts]


def expected(
    oracle: ImageOracle, answer: dict[str, Any], content: list[Any], count: int = 12
) -> Answer:
    return oracle.answer(read_back(answer, files_of(content)), count)


@pytest.mark.parametrize("content", [ONE, SEVERAL], ids=["one", "several"])
async def test_a_pair_answers_as_hugging_face_does_and_again_from_its_caches(
    cluster: VisionCluster, oracle: ImageOracle, content: list[Any]
) -> None:
    prefill = cluster.workers["p0"].worker
    answer = await cluster.ask(content)
    check_equal([expected(oracle, answer, content)], [tokens_of(answer)])
    assert answer["kv_transfer_params"]["prefill_worker"] == "p0"
    assert answer["usage"]["prompt_tokens"] == len(answer["prompt_token_ids"])
    assert answer["prompt_token_ids"].count(IMAGE_PAD) > 2 * len(files_of(content))

    encoded = sum(prefill.images.seconds.reading().counts)
    again = await cluster.ask(content)
    assert tokens_of(again) == tokens_of(answer)
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert sum(prefill.images.seconds.reading().counts) == encoded  # nothing was encoded twice
    assert not sum(cluster.workers["d0"].worker.images.seconds.reading().counts)


async def test_equal_sizes_and_other_content_are_two_prompts(
    cluster: VisionCluster, oracle: ImageOracle
) -> None:
    asked = [[image_part(file), "?"] for file in (RED, BLUE)]
    answers = [await cluster.ask(content) for content in asked]

    assert answers[0]["prompt_token_ids"] == answers[1]["prompt_token_ids"]
    check_equal(
        [expected(oracle, a, c) for a, c in zip(answers, asked, strict=True)],
        [tokens_of(answer) for answer in answers],
    )
    assert tokens_of(answers[0]) != tokens_of(answers[1])


async def test_a_stream_says_the_same(cluster: VisionCluster) -> None:
    whole = await cluster.ask(SEVERAL)
    async with cluster.streamed(SEVERAL) as chunks:
        seen = [chunk async for chunk in chunks]
    ids = [id for chunk in seen for c in chunk["choices"] for id in c.get("token_ids") or ()]
    assert ids == tokens_of(whole)
    assert seen[-1]["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]


async def test_bounds_of_a_request_reach_the_processor(cluster: VisionCluster) -> None:
    """The worker refuses a prompt that was cut otherwise than it processes the image."""
    usual = await cluster.ask(ONE)
    smaller = await cluster.ask(ONE, mm_processor_kwargs={"max_pixels": 1024})

    pads = [answer["prompt_token_ids"].count(IMAGE_PAD) for answer in (usual, smaller)]
    assert pads[1] < pads[0]
    error = await cluster.refused(ONE, mm_processor_kwargs={"patch_size": 2})
    assert error["param"] == "mm_processor_kwargs"
    huge = await cluster.refused(
        ONE, mm_processor_kwargs={"size": {"shortest_edge": 10**15, "longest_edge": 10**15}}
    )
    assert "maximum context length" in huge["message"]


async def test_the_tokenizer_endpoint_counts_images(cluster: VisionCluster) -> None:
    answer = await cluster.ask(ONE)
    asked = {"messages": [{"role": "user", "content": ONE}]}
    told = (await cluster.client.post("/tokenize", json=asked)).json()

    assert told["tokens"] == answer["prompt_token_ids"]


REFUSED: dict[str, tuple[list[Any], str]] = {
    "truncated": ([image_part(RED[: len(RED) // 2])], "cannot be read"),
    "wrong type": ([image_part(RED, "image/gif")], "said to be image/gif"),
    "no image": ([image_part(b"hello")], "no JPEG, PNG"),
    "a mark in a text": (["<|image_pad|>", image_part(RED)], "2 places for 1 images"),
    "an address inside": (
        [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}],
        "nothing is fetched",
    ),
    "sound": (
        [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}],
        "only images",
    ),
    "embeddings": ([{"type": "image_embeds", "image_embeds": "AA=="}], "only images"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_image_is_a_400(cluster: VisionCluster, name: str) -> None:
    content, why = REFUSED[name]

    error = await cluster.refused(content)
    assert why in error["message"]
    assert error["param"] == "messages"
    streamed = await cluster.post(content, stream=True)
    assert (streamed.status_code, why in streamed.text) == (400, True)


async def test_the_neighbours_of_chat_show_the_same_image(cluster: VisionCluster) -> None:
    chat = await cluster.ask(ONE)
    text, url = chat["choices"][0]["message"]["content"], ONE[1]["image_url"]["url"]
    common = {"model": "tiny", "temperature": 0, "ignore_eos": True}
    said = {"type": "input_text", "text": ONE[0]["text"]}
    shown = {"type": "input_image", "image_url": url, "detail": "auto"}
    asked: dict[str, Any] = {"input": [{"role": "user", "content": [said, shown]}]}
    response = await cluster.client.post(
        "/v1/responses", json={**common, **asked, "max_output_tokens": 12}
    )
    assert response.status_code == 200, response.text
    told = response.json()
    assert told["output"][-1]["content"][0]["text"] == text
    assert told["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]

    source = {"type": "base64", "media_type": "image/png", "data": url.partition(",")[2]}
    blocks = [{"type": "text", "text": ONE[0]["text"]}, {"type": "image", "source": source}]
    asked = {"messages": [{"role": "user", "content": blocks}], "max_tokens": 12}
    response = await cluster.client.post("/v1/messages", json={**common, **asked})
    assert response.status_code == 200, response.text
    told = response.json()
    assert told["content"][-1]["text"] == text
    counted = await cluster.client.post(
        "/v1/messages/count_tokens", json={"model": "tiny", "messages": asked["messages"]}
    )
    assert counted.json()["input_tokens"] == chat["usage"]["prompt_tokens"]

    wrong: dict[str, dict[str, Any]] = {
        "/v1/responses": {"input": [{"role": "user", "content": [{**shown, "image_url": "no"}]}]},
        "/v1/messages": {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}
            ],
            "max_tokens": 2,
        },
    }
    for path, body in wrong.items():
        refused = await cluster.client.post(path, json={**common, **body})
        assert refused.status_code == 400, refused.text


async def test_a_data_url_of_100_mb_is_a_400_that_names_the_image(cluster: VisionCluster) -> None:
    """Read as far as the limit of a body, and no further; what is too large otherwise is a 413."""
    text = '{"messages": [{"role": "user", "content": [{"type": "%s": "%s'
    heads = {
        400: text % ('image_url", "image_url": {"url"', "data:image/png;base64,"),
        413: text % ('text", "text"', "A "),
    }
    for status, head in heads.items():

        async def body(head: str = head) -> AsyncIterator[bytes]:
            yield head.encode()
            for _ in range(100):
                yield b"A" * 1_000_000

        json = {"content-type": "application/json"}
        for more in ({}, {"content-length": str(len(head) + 100_000_000)}):
            response = await cluster.client.post(CHAT, content=body(), headers=json | more)
            assert response.status_code == status
            error = response.json()["error"]
            assert error["param"] == ("messages" if status == 400 else None)
            assert ("an image is refused" in error["message"]) == (status == 400)
    assert tokens_of(await cluster.ask(ONE))


async def test_images_are_not_cut_by_truncation(cluster: VisionCluster) -> None:
    assert (await cluster.refused(ONE, truncate_prompt_tokens=20))["param"] == (
        "truncate_prompt_tokens"
    )


async def test_an_image_by_url_is_the_same_image(cluster: VisionCluster, host: FileHost) -> None:
    part = {"type": "image_url", "image_url": {"url": host.url("/red.png")}}

    assert tokens_of(await cluster.ask([ONE[0], part])) == tokens_of(await cluster.ask(ONE))


async def test_whoever_dies_the_next_one_gets_the_images_again(
    folder: Path, cluster: VisionCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prefill worker while it encodes, then the decode worker while it writes; one that drains
    gives its answer away, and needs no image for it.
    """
    whole = await cluster.ask(SEVERAL, **LONG)
    async with vision_cluster(folder, 1, 3) as other:
        encoder = other.workers["p0"].worker.bridge.engine.images
        assert encoder is not None
        encoding, let_go = threading.Event(), threading.Event()

        def held(image: PromptImage) -> object:
            encoding.set()
            assert let_go.wait(60)
            raise UnavailableError("it was too late")

        monkeypatch.setattr(encoder, "encode", held)
        asking = asyncio.create_task(disturbed(other, lambda: other.kill(other.busy())))
        assert await asyncio.to_thread(encoding.wait, 30)
        await other.join("p1", Role.PREFILL)
        dying = asyncio.create_task(other.kill("p0"))
        await other.gateway.until_gone("p0")
        let_go.set()
        await dying
        ids, params = await asking
        assert ids == tokens_of(whole)
        assert params["prefill_worker"] == "p1"
        assert params["failovers"] == 2

        async def drain() -> None:
            other.workers[other.busy()].worker.desk.drain()

        ids, params = await disturbed(other, drain)
        assert ids == tokens_of(whole)
        assert (params["moves"], params["failovers"]) == (1, 0)

        await other.kill("p1")
        alone = await other.ask(SEVERAL, **LONG)  # by a decode worker that reads it itself
        assert tokens_of(alone) == tokens_of(whole)
        assert alone["kv_transfer_params"]["prefill_worker"] is None


async def test_answers_that_take_each_others_blocks_are_what_they_would_have_been(
    folder: Path, cluster: VisionCluster
) -> None:
    """Whoever was preempted finds its image's blocks cached, or goes on with the image sent again."""
    asked = [[image_part(file), "?"] for file in (RED, BLUE, WIDE_PNG)]
    whole = [tokens_of(await cluster.ask(content, **LONG)) for content in asked]
    layout = cluster.workers["d0"].worker.info.fingerprint.layout
    async with vision_cluster(folder, 1, 1, kv_bytes=60 * layout.block_bytes) as small:
        answers = await asyncio.gather(*(small.ask(content, **LONG) for content in asked))
        preempted = small.workers["d0"].worker.bridge.engine.load().preemptions
    assert [tokens_of(answer) for answer in answers] == whole
    assert preempted


async def disturbed(
    cluster: VisionCluster, disturb: Callable[[], Awaitable[None]]
) -> tuple[list[int], dict[str, Any]]:
    """All tokens of an answer, and how they came; `disturb` is called when it has begun."""
    ids: list[int] = []
    params: dict[str, Any] = {}
    begun = False
    async with cluster.streamed(SEVERAL, **LONG) as chunks:
        async for chunk in chunks:
            ids += [id for c in chunk["choices"] for id in c.get("token_ids") or ()]
            params = chunk.get("kv_transfer_params") or params
            if len(ids) >= 5 and not begun:
                begun = True
                await disturb()
    assert begun
    return ids, params
