"""The images that an encode worker keeps, block by block, and those of them that are lent."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from baton.core.embeddings import block_names, blocks_of
from baton.core.errors import RefusedError
from baton.core.prompt_images import PromptImage
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.vision.embedding_blocks import EmbeddingBlocks


@dataclass(frozen=True, slots=True)
class Place:
    """Blocks for one image. `kept`: they hold its embeddings already."""

    image: PromptImage
    blocks: tuple[int, ...]
    names: tuple[bytes, ...]
    kept: bool


class Shelf:
    """Any thread may call it. What is not lent stays until its room is needed, whoever was asked for
    last the longest.
    """

    def __init__(self, pool: KvPool, fingerprint_digest: str) -> None:
        self.pool = pool
        self.blocks = BlockPool(pool.num_blocks)
        self._digest = fingerprint_digest
        self._memory = EmbeddingBlocks(pool)

    def places(
        self, images: Sequence[PromptImage], cache_salt: str, tenant: str
    ) -> tuple[Place, ...]:
        """One reference on each of their blocks is the caller's. Raises RefusedError, and keeps
        nothing, where there is no room for all of them.
        """
        taken: list[Place] = []
        for image in images:
            names = block_names(self._digest, cache_salt, tenant, image.span)
            place = self._kept(image, names) or self._new(image, names)
            if place is None:
                self.release(taken)
                needed = sum(blocks_of(image.span) for image in images)
                raise RefusedError(
                    f"{needed} blocks for these images are not free here, of {self.blocks.total}"
                )
            taken.append(place)
        return tuple(taken)

    def fill(self, place: Place, embeddings: Tensor) -> None:
        """[tokens, width]; from now on it can be found. The caller holds the place."""
        self._memory.write(place.blocks, embeddings)
        self._publish(place)

    def copied(self, place: Place) -> bool:
        """Fills the place from another one of the same image, if one was filled meanwhile."""
        found = self._kept(place.image, place.names)
        if found is None:
            return False
        self._memory.copy(found.blocks, place.blocks)
        self.release([found])
        return True

    def retain(self, place: Place) -> None:
        """One more reference on its blocks."""
        self.blocks.retain(place.blocks)

    def release(self, places: Sequence[Place]) -> None:
        for place in places:
            self.blocks.release(place.blocks)

    def close(self) -> None:
        self._memory.close()
        self.pool.close()

    def _kept(self, image: PromptImage, names: tuple[bytes, ...]) -> Place | None:
        """All of it, or nothing."""
        run = self.blocks.take_cached(names, room=0) or ()
        if len(run) == len(names):
            return Place(image, tuple(run), names, kept=True)
        self.blocks.release(run)
        return None

    def _new(self, image: PromptImage, names: tuple[bytes, ...]) -> Place | None:
        blocks = self.blocks.allocate(len(names))
        return None if blocks is None else Place(image, blocks, names, kept=False)

    def _publish(self, place: Place) -> None:
        self.blocks.publish(place.blocks, place.names, parent=None, may_swap=False)
