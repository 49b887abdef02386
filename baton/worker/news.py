"""What a gateway is told of a worker as long as it watches: its load, and what its cache holds."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from baton.core.kv_events import KvChange
from baton.core.worker_info import WorkerLoad
from baton.worker.load import MIN_INTERVAL, LoadBoard

MOST_KEYS = 1 << 16  # of a message: half a megabyte

News = tuple[WorkerLoad | None, KvChange | None]  # None: as before


async def news(
    board: LoadBoard,
    kv_change: Callable[[int | None], KvChange],
    goes_on: Callable[[], bool] = lambda: True,
) -> AsyncGenerator[News, None]:
    """All of both at once; then, whenever the board is touched, what is new of them; a last load when
    it is closed. Ends without one once it does not go on: it is no longer this worker's load.

    `kv_change` tells what came behind an event's number, and all that there is for None.
    """
    load: WorkerLoad | None = None
    number: int | None = None
    async with aclosing(board.touches()) as touches:
        async for _ in touches:
            if not goes_on():
                return
            change = kv_change(number)
            said, load = load, board.read()
            if load == said and change.upto == number:
                continue
            first, *rest = change.parts(MOST_KEYS)
            yield (load if load != said else None), (first if change.upto != number else None)
            for part in rest:
                yield None, part
            number = change.upto
            await asyncio.sleep(MIN_INTERVAL)
    if (last := board.read()) != load:
        yield last, None
