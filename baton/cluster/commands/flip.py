"""`baton flip`: makes a prefill worker a decode worker, or the other way round, as it runs."""

import asyncio
import time
from contextlib import aclosing
from typing import Any

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.cluster_access import ClusterAccess
from baton.cluster.endpoint_options import endpoint_options
from baton.cluster.status_page import fetch_status
from baton.cluster.told_worker import ToldWorker
from baton.core.errors import RefusedError
from baton.core.worker_info import ANSWERING, Role, WorkerInfo, WorkerState
from baton.settings import options


@click.command("flip")
@click.argument("worker_id", metavar="ID")
@click.argument(
    "role", metavar="prefill|decode", type=click.Choice([role.value for role in ANSWERING])
)
@click.option("--wait", is_flag=True, help="Return when the worker serves in that role.")
@endpoint_options
@options(ClusterAccess)
def flip(
    access: ClusterAccess,
    worker_id: str,
    role: str,
    wait: bool,
    url: str,
    api_key: str,
    cacert: str,
) -> None:
    """Give the worker ID of a running cluster the other role; its weights stay loaded.

    It takes nothing new, finishes or hands over what it has, and joins the cluster again in the
    other role. Told its own role, it stays what it is.
    """
    access.cluster_tls.check()
    status = fetch_status(ApiClient(url, api_key, cacert))
    worker = ToldWorker.named(worker_id, status)
    if role == Role.PREFILL.value:
        check_others_decode(worker_id, status)
    asyncio.run(_flip(worker, Role(role), access, wait))


def check_others_decode(worker_id: str, status: dict[str, Any]) -> None:
    """Raises RefusedError when nobody else would write answers."""
    for worker in status["workers"]:
        ready = worker.get("state") == WorkerState.READY.value
        if worker.get("id") != worker_id and worker.get("role") == Role.DECODE.value and ready:
            return
    raise RefusedError(
        f"without {worker_id} nobody would write answers: no other decode worker takes requests"
    )


async def _flip(worker: ToldWorker, role: Role, access: ClusterAccess, wait: bool) -> None:
    began = time.monotonic()
    async with aclosing(worker.flip(role, access)) as news:
        async for one in news:
            if isinstance(one, WorkerInfo):
                took = time.monotonic() - began
                click.echo(f"{worker.worker_id} serves as a {role.value} worker ({took:.2f} s)")
            elif not wait:
                click.echo(f"{worker.worker_id} is to be a {role.value} worker; {_told(one)}")
                return


def _told(requests: int) -> str:
    if not requests:
        return "it has nothing left to do"
    return f"{requests} {'request is' if requests == 1 else 'requests are'} left"
