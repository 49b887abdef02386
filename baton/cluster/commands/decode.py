"""`baton decode`: one worker that writes answers, in this process."""

import click

from baton.settings import SettingsCommand, options
from baton.worker.settings import WorkerSettings


@click.command("decode", cls=SettingsCommand)
@options(WorkerSettings)
def decode(settings: WorkerSettings) -> None:
    """Run one decode worker."""
    from decode_worker.__main__ import be_worker  # brings the engine along

    be_worker(settings)
