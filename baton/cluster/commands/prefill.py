"""`baton prefill`: one worker that reads prompts, in this process."""

from dataclasses import asdict

import click

from baton.settings import SettingsCommand, options
from baton.worker.settings import WorkerSettings


@click.command("prefill", cls=SettingsCommand)
@options(WorkerSettings)
def prefill(settings: WorkerSettings) -> None:
    """Run one prefill worker."""
    from prefill_worker.__main__ import main  # brings torch along

    click.get_current_context().invoke(main, **asdict(settings))
