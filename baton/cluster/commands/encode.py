"""`baton encode`: one worker that encodes images, in this process."""

import click

from baton.core.worker_info import Role
from baton.settings import SettingsCommand, options
from baton.worker.settings import WorkerSettings


@click.command("encode", cls=SettingsCommand)
@options(WorkerSettings)
def encode(settings: WorkerSettings) -> None:
    """Run one encode worker: the vision tower of a model that reads images, for those who read prompts."""
    from baton.cluster.either_role import be_worker  # brings the engine along

    be_worker(Role.ENCODE, settings)
