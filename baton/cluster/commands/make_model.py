"""`baton make-model`: a model with random weights, to try things without a download."""

import signal
import sys
from pathlib import Path

import click

from baton.cluster.model_folder import write_model

PRESETS = ("tiny", "small", "hash")


@click.command("make-model")
@click.option("--preset", type=click.Choice(PRESETS), default=PRESETS[0], show_default=True)
@click.option("--force", is_flag=True, help="Replace OUT if it holds something.")
@click.argument("out", type=click.Path(path_type=Path))
def make_model(preset: str, force: bool, out: Path) -> None:
    """Write a model with random weights to the folder OUT."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the half-made goes too
    write_model(out, force, lambda folder: _make(preset, folder))
    click.echo(f"{preset} is in {out}")


def _make(preset: str, folder: Path) -> None:
    from baton.cluster.model_presets import make_model as write  # makes `baton --help` wait

    write(preset, folder, click.echo)
