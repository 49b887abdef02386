"""`baton planner`: scales the Deployments of a cluster on Kubernetes."""

import asyncio

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.endpoint_options import endpoint_options
from baton.cluster.kubernetes.attending import attend
from baton.cluster.kubernetes.settings import KubernetesPlannerSettings
from baton.core.interrupts import Interrupts
from baton.settings import SettingsCommand, options


@click.command("planner", cls=SettingsCommand)
@endpoint_options
@options(KubernetesPlannerSettings)
def planner(settings: KubernetesPlannerSettings, url: str, api_key: str, cacert: str) -> None:
    """Scale the Deployments of a cluster's workers by what is asked of them.

    It runs in a pod whose service account may get Deployments and patch their scale. What it is to
    hold, and how far it may go, is told as to `baton up --planner`; workers keep their roles.
    """
    settings.check()
    asyncio.run(_until_interrupted(settings, ApiClient(url, api_key, cacert)))


async def _until_interrupted(settings: KubernetesPlannerSettings, client: ApiClient) -> None:
    interrupts = Interrupts()
    interrupts.listen()
    attending = asyncio.create_task(attend(settings, client, click.echo))
    told = asyncio.create_task(interrupts.stop.wait())
    await asyncio.wait({attending, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not interrupts.stop.is_set():
        await attending
    attending.cancel()
    await asyncio.gather(attending, return_exceptions=True)
