"""`baton drain`: takes a worker out of a running cluster without cutting an answer."""

import asyncio
from contextlib import aclosing

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.cluster_access import ClusterAccess
from baton.cluster.endpoint_options import endpoint_options
from baton.cluster.status_page import fetch_status
from baton.cluster.told_worker import ToldWorker
from baton.core.errors import UnavailableError
from baton.core.worker_info import WorkerLoad
from baton.settings import options


@click.command("drain")
@click.argument("worker_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Return when the worker has nothing left and has gone.")
@endpoint_options
@options(ClusterAccess)
def drain(
    access: ClusterAccess, worker_id: str, wait: bool, url: str, api_key: str, cacert: str
) -> None:
    """Take the worker ID out of a running cluster.

    It takes nothing new, finishes or hands over what it has, and ends with exit code 0; `baton up`
    does not start it again.
    """
    access.cluster_tls.check()
    worker = ToldWorker.named(worker_id, fetch_status(ApiClient(url, api_key, cacert)))
    asyncio.run(_drain(worker, access, wait))


async def _drain(worker: ToldWorker, access: ClusterAccess, wait: bool) -> None:
    left: WorkerLoad | None = None
    async with aclosing(worker.drain(access)) as loads:
        async for load in loads:
            if left is None:
                click.echo(f"{worker.worker_id} takes nothing new; {_told(load)}")
            left = load
            if not wait:
                return
    if left is None or not _is_empty(left):
        raise UnavailableError(f"{worker.worker_id} went before it was empty")
    click.echo(f"{worker.worker_id} is empty and has left")


def _is_empty(load: WorkerLoad) -> bool:
    return not (load.running or load.waiting or load.leased_blocks)


def _told(load: WorkerLoad) -> str:
    count = load.running + load.waiting
    if not count and load.leased_blocks:
        return "its hand-offs are not over yet"
    if not count:
        return "it has nothing left to do"
    return f"{count} {'request is' if count == 1 else 'requests are'} left"
