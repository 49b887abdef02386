"""KV that another router has had computed, until the decode worker pulls it: kept alive while the
request waits for its turn, given up when it ends before.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from baton.core.errors import BatonError
from baton.core.handoff import Handoff
from gateway.members.worker_client import WorkerClient

logger = logging.getLogger(__name__)

RENEW_SECONDS = 5.0  # a sixth of what the blocks are held for
CALL_SECONDS = 1.0


@asynccontextmanager
async def awaited(
    handoff: Handoff,
    connect: Callable[[str], WorkerClient],
    hold: float,
    taken: Callable[[], bool],
) -> AsyncIterator[None]:
    """`taken`: a decode worker has been asked to pull it, and sees to the rest. `hold` is in seconds,
    from one word to the next.
    """
    client = connect(handoff.address)
    renewing = asyncio.create_task(_renew(client, handoff, hold, taken), name="renew a lease")
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        try:
            if not taken():
                async with asyncio.timeout(CALL_SECONDS):
                    await client.abort(handoff, "the request ended before its KV was pulled")
        except (BatonError, TimeoutError) as error:
            logger.info("transfer %s could not be given up: %s", handoff.transfer_id, error)
        finally:
            await client.close()


async def _renew(
    client: WorkerClient, handoff: Handoff, hold: float, taken: Callable[[], bool]
) -> None:
    """Until it is taken, or gone: then the decode worker computes the prompt."""
    while not taken():
        await asyncio.sleep(RENEW_SECONDS)
        try:
            if not await client.renew(handoff, hold):
                return
        except BatonError as error:
            logger.info("transfer %s was not renewed: %s", handoff.transfer_id, error)
