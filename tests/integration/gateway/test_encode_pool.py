"""Chats with images where encode workers live: the tokens are those of the cluster without them and of
Hugging Face's `generate`, whatever becomes of an encode worker.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from baton.core.errors import RequestError, UnavailableError
from baton.core.prompt_images import PromptImage
from tests.support.encode_worker import ServedEncoder
from tests.support.images import ImageOracle, check_equal, image_file
from tests.support.models import make_vision
from tests.support.vision_answers import read_back
from tests.support.vision_cluster import VisionCluster, body, image_part, tokens_of, vision_cluster
from tests.support.vision_tokenizer import add_vision_tokenizer

RED, BLUE, GREEN = (image_file(60, 44, seed) for seed in (41, 42, 43))
ONE = [{"type": "text", "text": "what is this? "}, image_part(RED)]
TWO = ["left ", image_part(RED), image_part(GREEN), " and right?"]
MIXED = ["see ", image_part(BLUE), " then ", image_part(RED), " again ", image_part(BLUE), " so?"]
ASKED: dict[str, tuple[list[Any], list[bytes]]] = {
    "one": (ONE, [RED]),
    "two": (TWO, [RED, GREEN]),
    "mixed": (MIXED, [BLUE, RED, BLUE]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_vision_tokenizer(make_vision("Qwen2VL", tmp_path_factory.mktemp("models") / "vl"))


@pytest.fixture(scope="module")
def oracle(folder: Path) -> ImageOracle:
    return ImageOracle(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(folder: Path) -> AsyncIterator[VisionCluster]:
    async with vision_cluster(folder) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(folder: Path) -> AsyncIterator[VisionCluster]:
    async with vision_cluster(folder, encode=1) as cluster:
        yield cluster


pytestmark = pytest.mark.asyncio(loop_scope="module")


class HeldEncoder:
    """A fake in an encoder's place, which waits until it may go on; it may be told to `fail`."""

    def __init__(self, served: ServedEncoder) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.fail = False
        self._encoding = served.worker.encoding
        self._encoder = self._encoding._encoder
        self._encoding._encoder = self

    def encode(self, image: PromptImage) -> Any:
        self.begun.set()
        assert self.let_go.wait(60)
        if self.fail:
            raise RequestError("it was too late", "messages")
        return self._encoder.encode(image)

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 30)


def encoded_by_readers(cluster: VisionCluster) -> int:
    readers = [served.worker.images.seconds.reading() for served in cluster.workers.values()]
    return sum(sum(seconds.counts) for seconds in readers)


@pytest.mark.parametrize("name", ASKED)
async def test_embeddings_from_elsewhere_are_the_readers_own(
    cluster: VisionCluster, plain: VisionCluster, oracle: ImageOracle, name: str
) -> None:
    content, files = ASKED[name]
    answer = await cluster.ask(content)

    check_equal([oracle.answer(read_back(answer, files), 12)], [tokens_of(answer)])
    assert tokens_of(answer) == tokens_of(await plain.ask(content))
    params = answer["kv_transfer_params"]
    assert (params["prefill_worker"], params["encode_worker"]) == ("p0", "e0")
    assert params["images_moved"] == len(set(files))
    assert params["image_bytes"] > 0
    assert params["failovers"] == 0
    assert not encoded_by_readers(cluster)

    again = await cluster.ask(content)  # the reader has kept what came, and nobody pulls
    assert tokens_of(again) == tokens_of(answer)
    assert again["kv_transfer_params"]["images_moved"] == 0
    assert cluster.workers["p0"].worker.image_pulls.results["not_needed"] == 1  # type: ignore[union-attr]


async def test_a_decode_worker_that_reads_by_itself_pulls_too(
    cluster: VisionCluster, plain: VisionCluster
) -> None:
    alone = {"kv_transfer_params": {"mode": "aggregated"}}
    answer = await cluster.ask(TWO, **alone)

    assert tokens_of(answer) == tokens_of(await plain.ask(TWO, **alone))
    params = answer["kv_transfer_params"]
    assert (params["prefill_worker"], params["encode_worker"]) == (None, "e0")
    assert params["images_moved"] == 2
    assert not encoded_by_readers(cluster)


async def test_an_encode_worker_keeps_what_it_encoded_for_the_next_reader(
    cluster: VisionCluster,
) -> None:
    first = await cluster.ask(TWO)
    other = await cluster.ask(TWO, kv_transfer_params={"mode": "aggregated"})
    encoding = cluster.encoders["e0"].worker.encoding

    assert tokens_of(other) == tokens_of(first)
    assert other["kv_transfer_params"]["images_moved"] == 2
    assert (encoding.queries, encoding.hits) == (4, 2)
    assert sum(encoding.seconds.reading().counts) == 2
    await cluster.ask(TWO, cache_salt="another", kv_transfer_params={"mode": "aggregated"})
    assert (encoding.queries, encoding.hits) == (6, 2)


async def test_a_damaged_file_is_the_clients_fault(cluster: VisionCluster) -> None:
    error = await cluster.refused([image_part(RED[: len(RED) // 2])])
    assert "cannot be read" in error["message"]
    assert error["param"] == "messages"
    error = await cluster.refused([image_part(RED[: len(RED) // 2]), image_part(BLUE)], stream=True)
    assert error["param"] == "messages"


async def test_an_encode_worker_that_dies_is_made_up_for(
    cluster: VisionCluster, plain: VisionCluster
) -> None:
    """By another one, and then by whoever reads the prompt."""
    for left in ("e1", None):
        name = "e0" if left else "e1"
        if left:
            await cluster.join_encoder(left)
        content = TWO if left else MIXED
        held = {name: HeldEncoder(served) for name, served in cluster.encoders.items()}
        asking = asyncio.create_task(cluster.ask(content))
        await asyncio.wait(
            [asyncio.create_task(one.until_begun()) for one in held.values()],
            return_when=asyncio.FIRST_COMPLETED,
        )
        name = next(name for name, one in held.items() if one.begun.is_set())
        dying = asyncio.create_task(cluster.kill(name))
        await cluster.gateway.until_gone(name)
        for one in held.values():
            one.let_go.set()
        await dying
        answer = await asking
        params = answer["kv_transfer_params"]

        assert tokens_of(answer) == tokens_of(await plain.ask(content))
        assert params["failovers"] == 1
        assert params["encode_worker"] == next(iter(cluster.encoders), None)
    assert encoded_by_readers(cluster) == 1  # the one that it had not kept


async def test_a_reader_that_cannot_reach_it_is_not_blamed(
    cluster: VisionCluster, plain: VisionCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is its link to the decode worker: the encode worker is not asked again."""
    pulls = cluster.workers["p0"].worker.image_pulls
    assert pulls is not None

    async def unreachable(*_: object) -> None:
        raise UnavailableError("no route to host")

    with monkeypatch.context() as broken:
        broken.setattr(pulls, "_pull", unreachable)
        answer = await cluster.ask(TWO)
    params = answer["kv_transfer_params"]
    assert tokens_of(answer) == tokens_of(await plain.ask(TWO))
    assert (params["encode_worker"], params["prefill_worker"]) == (None, "p0")
    assert params["failovers"] == 1
    assert pulls.results["failed"] == 1
    again = await cluster.ask(TWO, cache_salt="another")
    assert again["kv_transfer_params"]["encode_worker"] == "e0"


async def test_one_that_drains_or_has_no_room_is_not_asked(
    cluster: VisionCluster, plain: VisionCluster
) -> None:
    served = cluster.encoders["e0"]
    served.worker.desk.drain()
    await cluster.gateway.until(
        lambda: any(w.drains for w in cluster.gateway.gateway.models.first.workers.all())
    )
    answer = await cluster.ask(ONE)
    assert answer["kv_transfer_params"]["encode_worker"] is None
    assert tokens_of(answer) == tokens_of(await plain.ask(ONE))

    await cluster.join_encoder("small", cache_bytes=2 * 16 * 64 * 4)  # room for 32 tokens
    answer = await cluster.ask(TWO)
    assert answer["kv_transfer_params"]["encode_worker"] is None
    assert tokens_of(answer) == tokens_of(await plain.ask(TWO))


async def test_a_client_that_leaves_leaves_nothing_lent(cluster: VisionCluster) -> None:
    served = cluster.encoders["e0"]
    held = HeldEncoder(served)
    asking = asyncio.create_task(cluster.client.post("/v1/chat/completions", json=body(TWO)))
    await held.until_begun()
    assert served.worker.sender.counts().leased_blocks > 0
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await cluster.gateway.until_idle()
    held.let_go.set()
    await served.until_idle()
    assert served.worker.encoding.waiting == 0


async def test_status_lists_them_and_they_serve_no_prompt(cluster: VisionCluster) -> None:
    status = (await cluster.client.get("/status")).json()
    [told] = [worker for worker in status["workers"] if worker["role"] == "encode"]
    assert (told["id"], told["state"]) == ("e0", "ready")

    pinned = await cluster.refused(ONE, kv_transfer_params={"prefill_worker": "e0"})
    assert "is no prefill worker" in pinned["message"]
    avoided = await cluster.ask(ONE, kv_transfer_params={"avoid": ["e0"]})
    assert avoided["kv_transfer_params"]["encode_worker"] is None
