"""Images of prompts are encoded one at a time, and not again while they are kept."""

import asyncio
import threading
from typing import Any

import pytest

from baton.core.errors import RequestError
from baton.core.prompt_images import ImageSpan, PromptImage
from baton.worker.images import Images


class FakeEmbeddings:
    nbytes = 10


class FakeEncoder:
    """Remembers what it was asked for; `let_go` is set unless a test holds it."""

    def __init__(self) -> None:
        self.encoded: list[bytes] = []
        self.busy = 0
        self.let_go = threading.Event()
        self.let_go.set()

    def encode(self, image: PromptImage) -> Any:
        self.busy += 1
        assert self.busy == 1, "two at a time"
        self.encoded.append(image.data)
        assert self.let_go.wait(20)
        self.busy -= 1
        if not image.data:
            raise RequestError("damaged", "messages")
        return FakeEmbeddings()


def image(data: bytes) -> PromptImage:
    return PromptImage(ImageSpan(0, 1, 1, data), data)


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


async def test_an_image_is_encoded_once_while_it_is_kept(encoder: FakeEncoder) -> None:
    images = Images(encoder, 1000)
    first = await images.embeddings([image(b"a"), image(b"b"), image(b"a")], "", "")
    again = await images.embeddings([image(b"b")], "", "")
    images.close()

    assert encoder.encoded == [b"a", b"b"]
    assert first[0] is first[2]
    assert again[0] is first[1]
    assert (images.queries, images.hits) == (4, 2)
    assert sum(images.seconds.reading().counts) == 2


async def test_without_memory_each_one_is_encoded_again(encoder: FakeEncoder) -> None:
    images = Images(encoder, 0)
    await images.embeddings([image(b"a"), image(b"a")], "", "")
    images.close()

    assert encoder.encoded == [b"a", b"a"]


@pytest.mark.parametrize("who", [("salt", ""), ("", "tenant")])
async def test_who_shares_no_kv_shares_no_image(encoder: FakeEncoder, who: tuple[str, str]) -> None:
    images = Images(encoder, 1000)
    await images.embeddings([image(b"a")], "", "")
    await images.embeddings([image(b"a")], *who)
    images.close()

    assert images.hits == 0


async def test_who_comes_while_the_same_image_is_encoded_waits_for_it(encoder: FakeEncoder) -> None:
    encoder.let_go.clear()
    images = Images(encoder, 1000)
    both = [asyncio.create_task(images.embeddings([image(b"a")], "", "")) for _ in "12"]
    await asyncio.sleep(0)  # each runs until it waits for the thread
    assert images.queries == 2
    encoder.let_go.set()
    one, other = await asyncio.gather(*both)
    images.close()

    assert one[0] is other[0]
    assert encoder.encoded == [b"a"]


async def test_a_damaged_file_ends_its_own_request_alone(encoder: FakeEncoder) -> None:
    images = Images(encoder, 1000)
    with pytest.raises(RequestError, match="damaged"):
        await images.embeddings([image(b"")], "", "")
    assert len(await images.embeddings([image(b"a")], "", "")) == 1
    images.close()


async def test_a_worker_of_a_text_model_refuses_images() -> None:
    images = Images(None, 1000)
    with pytest.raises(RequestError, match="reads no images"):
        await images.embeddings([image(b"a")], "", "")
    images.close()
