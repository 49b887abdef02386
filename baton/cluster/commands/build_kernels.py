"""`baton build-kernels`: what workers build at their first start, ahead of it, as for an image."""

import os

import click

from baton.core.errors import SettingsError
from baton.engine.kernel_build import KernelError, default_recipe
from baton.engine.kernel_build import build_kernels as build
from baton.native import library
from kv_transfer.stream_copy import SOURCE


@click.command("build-kernels")
def build_kernels() -> None:
    """Build the CPU kernels for this machine, unless they are there."""
    recipe = default_recipe(os.environ)
    try:
        path = build(recipe, click.echo)
        library.build(SOURCE, recipe.workshop, click.echo)
    except KernelError as error:
        raise SettingsError(f"the CPU kernels cannot be built: {error}") from error
    click.echo(f"the CPU kernels are in {path.parent}")
