"""A worker's load as those see it who watch the worker."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from baton.core.worker_info import WorkerLoad
from baton.engine.blocks.block_pool import BlockPool
from baton.worker.load import LoadBoard
from baton.worker.news import news


async def loads(board: LoadBoard) -> AsyncGenerator[WorkerLoad, None]:
    """Beside a cache in which nothing happens."""
    async with aclosing(news(board, BlockPool(1).kv_change)) as all_news:
        async for load, _ in all_news:
            if load is not None:
                yield load
