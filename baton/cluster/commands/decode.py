"""`baton decode`: one worker that writes answers, in this process."""

import click

from baton.core.worker_info import Role
from baton.settings import SettingsCommand, options
from baton.worker.settings import WorkerSettings


@click.command("decode", cls=SettingsCommand)
@options(WorkerSettings)
def decode(settings: WorkerSettings) -> None:
    """Run one decode worker."""
    from baton.cluster.either_role import be_worker  # brings the engine along

    be_worker(Role.DECODE, settings)
