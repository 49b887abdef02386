"""The thread of an encode worker: one image at a time, and of several requests in turn."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from torch import Tensor

from baton.core.prompt_images import PromptImage
from baton.telemetry.distribution import Observations
from baton.telemetry.worker_families import IMAGE_SECONDS
from encode_worker.shelf import Place, Shelf


class Encoder(Protocol):
    def encode(self, image: PromptImage) -> Tensor:
        """[tokens, width]; called by one thread at a time. Raises RequestError."""
        ...


class Encoding:
    """Call everything on one loop's thread. The counts only grow, but for `waiting`."""

    def __init__(
        self, encoder: Encoder, shelf: Shelf, changed: Callable[[], None] = lambda: None
    ) -> None:
        """`changed` is called when an image came or is done."""
        self._encoder = encoder
        self._shelf = shelf
        self._changed = changed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self.queries = 0  # images that were asked for
        self.hits = 0  # of those kept here already
        self.seconds = Observations(IMAGE_SECONDS)  # of each that was encoded
        self.waiting = 0  # images at hand, or in line

    def begin(self, places: Sequence[Place]) -> "Filling":
        """Call it while the places are the caller's, and close it when nobody wants them any more."""
        return Filling(self, places)

    def close(self) -> None:
        """Waits for the image at hand."""
        self._thread.shutdown(cancel_futures=True)

    async def fill(self, place: Place) -> float | None:
        """The seconds that it took, None where it was encoded for somebody else. One reference on the
        place's blocks is this call's. Raises RequestError.
        """
        work = self._thread.submit(self._encode, place)
        work.add_done_callback(lambda _: self._shelf.release([place]))  # cancelled, too
        self._note(1)
        try:
            return await asyncio.wrap_future(work)  # cancelled, it cancels what has not begun
        finally:
            self._note(-1)

    def retain(self, places: Sequence[Place]) -> None:
        for place in places:
            self._shelf.retain(place)

    def release(self, places: Sequence[Place]) -> None:
        self._shelf.release(places)

    def count(self, seconds: float | None) -> None:
        """Of one image that was asked for; None: it had been encoded before."""
        self.queries += 1
        if seconds is None:
            self.hits += 1
        else:
            self.seconds.see(seconds)

    def _note(self, more: int) -> None:
        self.waiting += more
        self._changed()

    def _encode(self, place: Place) -> float | None:
        """On the thread; None: somebody else's came first."""
        if self._shelf.copied(place):
            return None
        began = time.perf_counter()
        self._shelf.fill(place, self._encoder.encode(place.image))
        return time.perf_counter() - began


class Filling:
    """The places of one request. Those that are not filled yet have one reference more until they are,
    whoever else lets go of them: nothing is written to blocks that are others' by then.
    """

    def __init__(self, encoding: Encoding, places: Sequence[Place]) -> None:
        self._encoding = encoding
        self._places = places
        self._empty = [place for place in places if not place.kept]
        encoding.retain(self._empty)

    async def each(self) -> AsyncGenerator[float | None, None]:
        """Once for each of the places, in order, as soon as its blocks hold it: the seconds that it
        took, None where it was kept. Raises RequestError for a file that cannot be read.
        """
        for place in self._places:
            seconds = None
            if not place.kept:
                self._empty.remove(place)
                seconds = await self._encoding.fill(place)
            self._encoding.count(seconds)
            yield seconds

    def close(self) -> None:
        """Once `each` is left. At most the image at hand is still encoded."""
        self._encoding.release(self._empty)
        self._empty = []
