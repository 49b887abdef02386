"""How a worker leaves: it takes nothing new, finishes what it has, and gives a reason for the rest."""

import asyncio
import logging

import grpc

from baton.core.interrupts import still_running
from baton.rpc.server import stop
from baton.worker.served import ServedWorker

logger = logging.getLogger(__name__)

LAST_WORDS = 0.5  # seconds that peers get to hear why their requests end


async def drain(worker: ServedWorker, seconds: float, hurry: asyncio.Event) -> None:
    """Returns once the worker is idle, after `seconds`, or when `hurry` is set.

    Meanwhile it stays a member that says it drains: hand-offs under way need it.
    """
    worker.desk.drain()
    if worker.idle:
        logger.info("stopping: nothing is running")
        return
    logger.warning(still_running(worker.requests))
    idle = asyncio.create_task(worker.board.until(lambda: worker.idle), name="until idle")
    hurried = asyncio.create_task(hurry.wait(), name="until hurried")
    try:
        await asyncio.wait({idle, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        idle.cancel()
        hurried.cancel()
        await asyncio.gather(idle, hurried, return_exceptions=True)


async def say_goodbye(server: grpc.aio.Server, worker: ServedWorker) -> None:
    """Ends what still runs with an error that says why, then the server."""
    worker.board.close()
    stopped = asyncio.create_task(stop(server, LAST_WORDS))
    if not worker.idle:
        await worker.give_up()
    await stopped
