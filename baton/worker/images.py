"""Images of prompts that are read here: encoded on a thread of their own, kept for the next time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from baton.core.embeddings import distinct
from baton.core.errors import RequestError
from baton.core.prompt_images import PromptImage
from baton.engine.vision.embedding_cache import EmbeddingCache
from baton.telemetry.distribution import Observations
from baton.telemetry.worker_families import IMAGE_SECONDS

if TYPE_CHECKING:
    from torch import Tensor

    Fetch = Callable[[Sequence[PromptImage]], Awaitable[Mapping[bytes, "Tensor"]]]


class Encoder(Protocol):
    def encode(self, image: PromptImage) -> "Tensor":
        """[tokens, hidden]; called by one thread at a time. Raises RequestError."""
        ...


class Images:
    """One image at a time, and of several requests in turn: none waits for all of another's."""

    def __init__(self, encoder: Encoder | None, cache_bytes: int) -> None:
        """`encoder` None: the model reads only text."""
        self._encoder = encoder
        self._cache: EmbeddingCache[Tensor] = EmbeddingCache(cache_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="images")
        self.queries = 0  # looked up in the cache, only grows
        self.hits = 0  # of those found, only grows
        self.seconds = Observations(IMAGE_SECONDS)  # of each that was encoded

    async def embeddings(
        self, images: Sequence[PromptImage], cache_salt: str, tenant: str
    ) -> tuple["Tensor", ...]:
        """In order. Raises RequestError for a file that cannot be read. Cancelling leaves at most the
        image at hand to be encoded.
        """
        return tuple([await self._one(image, cache_salt, tenant) for image in images])

    async def fetched(
        self, images: Sequence[PromptImage], cache_salt: str, tenant: str, fetch: "Fetch"
    ) -> tuple["Tensor", ...]:
        """The same of images that are encoded elsewhere. `fetch` gives all of them, by digest, and is
        called once where some are not kept here. Raises what it raises, and RequestError.
        """
        if self._encoder is None:
            raise RequestError("this model reads no images", "messages")
        keys = [(cache_salt, tenant, image.span.digest) for image in images]
        kept = [self._cache.get(key) for key in keys]
        self.queries += len(images)
        self.hits += sum(found is not None for found in kept)
        if not any(found is None for found in kept):
            return tuple(found for found in kept if found is not None)
        came = await fetch(distinct(images))
        for key in keys:
            self._cache.put(key, came[key[-1]])
        return tuple(came[image.span.digest] for image in images)

    def close(self) -> None:
        """Waits for the image at hand."""
        self._thread.shutdown(cancel_futures=True)

    async def _one(self, image: PromptImage, cache_salt: str, tenant: str) -> "Tensor":
        if self._encoder is None:
            raise RequestError("this model reads no images", "messages")
        key = (cache_salt, tenant, image.span.digest)
        self.queries += 1
        if (found := self._cache.get(key)) is not None:
            self.hits += 1
            return found
        loop = asyncio.get_running_loop()
        made, seconds = await loop.run_in_executor(self._thread, self._encode, image, key)
        if seconds is None:
            self.hits += 1
        else:
            self.seconds.see(seconds)
        return made

    def _encode(
        self, image: PromptImage, key: tuple[str, str, bytes]
    ) -> tuple["Tensor", float | None]:
        """On the thread, and the seconds that it took; None: somebody else's came first."""
        if (found := self._cache.get(key)) is not None:
            return found, None
        assert self._encoder is not None
        began = time.perf_counter()
        made = self._encoder.encode(image)
        self._cache.put(key, made)
        return made, time.perf_counter() - began
