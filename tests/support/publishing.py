"""One block published by itself."""

from baton.engine.blocks.block_books import Published
from baton.engine.blocks.block_pool import BlockPool


def publish_one(
    pool: BlockPool, block: int, name: bytes, parent: Published | None, may_swap: bool = True
) -> int | None:
    """The first under that name; None where it could not be published."""
    return next(iter(pool.publish([block], [name], parent, may_swap)), None)
