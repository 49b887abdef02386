"""`baton prefill`: one worker that reads prompts, in this process."""

import click

from baton.core.worker_info import Role
from baton.settings import SettingsCommand, options
from baton.worker.settings import WorkerSettings


@click.command("prefill", cls=SettingsCommand)
@options(WorkerSettings)
def prefill(settings: WorkerSettings) -> None:
    """Run one prefill worker."""
    from baton.cluster.either_role import be_worker  # brings the engine along

    be_worker(Role.PREFILL, settings)
