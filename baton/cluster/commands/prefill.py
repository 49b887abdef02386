"""`baton prefill`: one worker that reads prompts, in this process."""

import click

from baton.settings import SettingsCommand, options
from baton.worker.settings import WorkerSettings


@click.command("prefill", cls=SettingsCommand)
@options(WorkerSettings)
def prefill(settings: WorkerSettings) -> None:
    """Run one prefill worker."""
    from prefill_worker.__main__ import be_worker  # brings the engine along

    be_worker(settings)
