"""What an encode worker keeps and lends, block by block; its thread fills it one image at a time."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import torch
from torch import Tensor

from baton.core.embeddings import embeddings_layout
from baton.core.errors import RefusedError, RequestError
from baton.core.prompt_images import ImageSpan, PromptImage
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.vision.embedding_blocks import EmbeddingBlocks
from encode_worker.encoding import Encoding
from encode_worker.shelf import Shelf

WIDTH, BLOCKS = 8, 6
LAYOUT = embeddings_layout(WIDTH, "float32")


def image(name: str, tokens: int = 20) -> PromptImage:
    return PromptImage(ImageSpan(0, 1, tokens, name.encode()), name.encode())


def embeddings_of(image: PromptImage) -> Tensor:
    seed = torch.Generator().manual_seed(sum(image.data))
    return torch.randn(image.span.num_tokens, WIDTH, generator=seed)


class FakeEncoder:
    """Counts; `let_go` is set unless a test holds it."""

    def __init__(self) -> None:
        self.encoded: list[bytes] = []
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.let_go.set()

    def encode(self, image: PromptImage) -> Tensor:
        self.begun.set()
        assert self.let_go.wait(20)
        self.encoded.append(image.data)
        if image.data == b"damaged":
            raise RequestError("damaged", "messages")
        return embeddings_of(image)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with closing(Shelf(KvPool(LAYOUT, BLOCKS), "f")) as shelf:
        yield shelf
        shelf.blocks.check_integrity()
        assert shelf.blocks.free == BLOCKS


def lies_in(shelf: Shelf, blocks: tuple[int, ...], tokens: int) -> Tensor:
    memory = EmbeddingBlocks(shelf.pool)
    found = memory.read(blocks, tokens)
    memory.close()
    return found


def test_a_kept_image_is_found_again_and_is_what_was_put_there(shelf: Shelf) -> None:
    (place,) = shelf.places([image("a")], "", "")
    assert not place.kept
    shelf.fill(place, embeddings_of(place.image))
    shelf.release([place])
    (again,) = shelf.places([image("a")], "", "")

    assert again.kept
    assert again.blocks == place.blocks
    assert torch.equal(lies_in(shelf, again.blocks, 20), embeddings_of(image("a")))
    assert not lies_in(shelf, again.blocks, 32)[20:].any()  # zeros behind the last row
    shelf.release([again])
    for salt, tenant in (("another", ""), ("", "another")):
        (other,) = shelf.places([image("a")], salt, tenant)
        assert not other.kept
        shelf.release([other])


def test_what_is_lent_is_not_taken_and_what_was_asked_for_longest_ago_goes_first(
    shelf: Shelf,
) -> None:
    for name in "ab":
        (place,) = shelf.places([image(name)], "", "")
        shelf.fill(place, embeddings_of(place.image))
        shelf.release([place])
    (lent,) = shelf.places([image("a")], "", "")  # now later than b
    with pytest.raises(RefusedError, match="7 blocks for these images are not free here, of 6"):
        shelf.places([image("c", 70), image("d")], "", "")
    assert shelf.blocks.free == BLOCKS - 2  # nothing of it is left

    more = shelf.places([image("c"), image("d")], "", "")
    assert not set(lent.blocks) & {block for place in more for block in place.blocks}
    shelf.release([lent, *more])
    (gone,) = shelf.places([image("b")], "", "")
    assert not gone.kept
    shelf.release([gone])


async def test_an_image_that_two_requests_wait_for_is_encoded_once(shelf: Shelf) -> None:
    encoder = FakeEncoder()
    encoder.let_go.clear()
    encoding = Encoding(encoder, shelf)
    both = [shelf.places([image("a")], "", "") for _ in "12"]
    fillings = [encoding.begin(places) for places in both]

    async def filled(number: int) -> list[float | None]:
        return [seconds async for seconds in fillings[number].each()]

    works = [asyncio.create_task(filled(number)) for number in (0, 1)]
    assert await asyncio.to_thread(encoder.begun.wait, 20)
    encoder.let_go.set()
    (first,), (second,) = await asyncio.gather(*works)
    encoding.close()

    assert encoder.encoded == [b"a"]
    assert first is not None
    assert second is None
    for (place,) in both:
        assert torch.equal(lies_in(shelf, place.blocks, 20), embeddings_of(place.image))
        shelf.release([place])
    assert (encoding.queries, encoding.hits, encoding.waiting) == (2, 1, 0)


async def test_nobody_gets_blocks_that_are_still_written(shelf: Shelf) -> None:
    """Whoever wanted the image is gone, and has given the blocks back, while the thread is at it."""
    encoder = FakeEncoder()
    encoder.let_go.clear()
    encoding = Encoding(encoder, shelf)
    places = shelf.places([image("a"), image("b")], "", "")
    filling = encoding.begin(places)
    work = asyncio.ensure_future(anext(filling.each()))
    assert await asyncio.to_thread(encoder.begun.wait, 20)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    shelf.release(places)
    filling.close()

    assert shelf.blocks.free == BLOCKS - 2  # those of the image at hand
    with pytest.raises(RefusedError):
        shelf.places([image("c", 80)], "", "")
    encoder.let_go.set()
    encoding.close()
    (kept,) = shelf.places([image("a")], "", "")
    assert kept.kept  # it is there for the next one
    shelf.release([kept])


async def test_a_damaged_file_ends_its_own_request_alone(shelf: Shelf) -> None:
    encoding = Encoding(FakeEncoder(), shelf)
    places = shelf.places([image("damaged"), image("a")], "", "")
    filling = encoding.begin(places)
    with pytest.raises(RequestError, match="damaged"):
        await anext(filling.each())
    filling.close()
    shelf.release(places)
    (place,) = fine = shelf.places([image("a")], "", "")
    with closing(encoding.begin(fine)) as filling:
        assert await anext(filling.each()) is not None
    assert torch.equal(lies_in(shelf, place.blocks, 20), embeddings_of(place.image))
    shelf.release(fine)
    encoding.close()
