"""What a cluster holds, as its gateway sees it."""

import asyncio

from tests.support.clients import Client
from tests.support.cluster import RunningCluster


async def nothing_is_held(cluster: RunningCluster, seconds: float = 15) -> None:
    """Returns once no worker uses, reserves or lends a block; raises TimeoutError with the rest."""
    async with Client(cluster.url) as client:
        workers = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    workers = await client.workers()
                    if all(_is_free(worker) for worker in workers):
                        return
        except TimeoutError:
            raise TimeoutError(f"blocks are still held: {workers}") from None


def _is_free(worker: dict[str, object]) -> bool:
    idle = not (worker["running"] or worker["waiting"] or worker["leased_blocks"])
    return idle and worker["free_blocks"] == worker["total_blocks"]
